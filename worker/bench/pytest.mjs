// pytest of the core under the interpreter that the Worker has: CPython from npm's pyodide, in Node.
//
//   node bench/pytest.mjs SITE-PACKAGES tests/unit/test_isbn.py …
//
// SITE-PACKAGES is that of the virtual environment: pytest is plain Python and is taken as it is.
// There is no pytest-asyncio: coroutines run by `run_sync`. There is no hypothesis, which has a native
// part: its tests are skipped, and counted.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPyodide } from "pyodide";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const [packages, ...paths] = process.argv.slice(2);
const python = await loadPyodide({ env: { HOME: "/home/pyodide", PYTHONDONTWRITEBYTECODE: "1", PYTEST_DISABLE_PLUGIN_AUTOLOAD: "1" } });
python.mountNodeFS("/bookline", ROOT);
python.mountNodeFS("/packages", packages);
python.globals.set("PATHS", python.toPy(paths.map((path) => join("/bookline", path))));
const failed = await python.runPythonAsync(`
import inspect, os, sys
from pyodide.ffi import run_sync

sys.path[:0] = ["/bookline/src", "/bookline/worker/src"]
sys.path.append("/packages")
os.chdir("/bookline")
import pytest
from types import ModuleType


class Anything:
    """Stands for all that hypothesis has; what it would decorate is skipped."""

    def __getattr__(self, name):
        return given if name in {"given", "settings"} else self

    def __call__(self, *args, **named):
        return self

    def __or__(self, other):
        return self


def given(*args, **named):
    return pytest.mark.skip(reason="hypothesis has a native part, which is not there for wasm")


anything = Anything()
given.register_profile = given.load_profile = lambda *args, **named: None
for name in ("hypothesis", "hypothesis.strategies", "hypothesis.provisional"):
    module = ModuleType(name)
    module.__getattr__ = lambda attribute: getattr(anything, attribute)
    sys.modules[name] = module


class Coroutines:
    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        if not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        names = pyfuncitem._fixtureinfo.argnames
        run_sync(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.argname == "quick_time":  # this loop's clock is the host's: waits take time
            fixturedef.cached_result = (None, fixturedef.cache_key(request), None)
            return True
        make = fixturedef.func
        if not (inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make)):
            return None
        values = {name: request.getfixturevalue(name) for name in fixturedef.argnames}
        if inspect.iscoroutinefunction(make):
            value = run_sync(make(**values))
        else:
            steps = make(**values)
            value = run_sync(anext(steps))
            request.addfinalizer(lambda: run_sync(anext(steps, None)))
        fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
        return value


options = ["-p", "no:cacheprovider", "-q", "--tb=short", "-rfE"]
quiet = ["-c", "/dev/null", "--rootdir=/bookline", "-W", "ignore"]
int(pytest.main([*quiet, *options, *PATHS], plugins=[Coroutines()]))
`);
process.exit(failed);
