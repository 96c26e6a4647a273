// The Worker's Python classes as classes of an ordinary Worker.
//
// Does what Cloudflare's own start of a Python Worker does: puts the sources where they are found,
// hands the SDK what it asks the runtime for, imports the entry, and passes each call on.

import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers";
import * as cloudflareWorkers from "cloudflare:workers";
import * as cloudflareSockets from "cloudflare:sockets";
import { startPython } from "./python.mjs";
import sources from "./sources.json";
import settings from "./settings.json";
import * as workflowsJs from "./python_modules/workers/workflows.js";

const ROOT = "/session/metadata";
// Imported while random numbers are faked: they draw some when they are imported, not when used.
const EARLY = "import random, secrets, tempfile, uuid";
// The runtime calls these as they are; all other methods are called over RPC.
const HANDLERS = new Set(["run", "webSocketMessage", "webSocketClose", "webSocketError", "alarm"]);

/** Lets `ctx.waitUntil` take a coroutine: asked for a promise at once, it begins and lives on. */
function patchWaitUntil(ctx) {
  const waitUntil = ctx.waitUntil?.bind(ctx);
  const patched = (work) => waitUntil(work.then((value) => value));
  if (waitUntil) Object.defineProperty(ctx, "waitUntil", { value: patched, configurable: true });
}

const began = performance.now();
const python = await startPython((python) => python.runPython(EARLY));
const started = performance.now();

for (const [path, text] of Object.entries(sources)) {
  const full = `${ROOT}/${path}`;
  python.FS.mkdirTree(full.slice(0, full.lastIndexOf("/")));
  python.FS.writeFile(full, text);
}
python.registerJsModule("_pyodide_entrypoint_helper", {
  cloudflareWorkersModule: cloudflareWorkers,
  cloudflareSocketsModule: cloudflareSockets,
  patchWaitUntil,
  doAnImport: async (name) => (name.endsWith("workers/workflows.js") ? workflowsJs : import(name)),
});
python.registerJsModule("_cloudflare_compat_flags", {
  python_workflows: true,
  python_workflows_implicit_dependencies: true,
  python_request_headers_preserve_commas: true,
});
python.runPython(`import sys; sys.path[:0] = ["${ROOT}", "${ROOT}/python_modules"]`);
const entry = python.runPython(`import ${settings.entry} as entry; entry`);
const imported = performance.now();

const glue = python.runPython(`
import inspect, random
from types import SimpleNamespace
from pyodide.code import relaxed_call
from workers import python_from_rpc, python_to_rpc

async def call(instance, name, args):
    """A method's result, with the arguments and the result as they are over RPC."""
    method = getattr(instance, name)
    values = [python_from_rpc(one) for one in args]
    result = relaxed_call(method, *values) if name == "fetch" else method(*values)
    return python_to_rpc(await result if inspect.isawaitable(result) else result)

def methods(cls):
    return [name for name in dir(cls) if not name.startswith("_") and inspect.isfunction(getattr(cls, name))]

SimpleNamespace(call=call, methods=methods, seed=random.seed)
`);

export const startMs = {
  python: Math.round(started - began),
  entry: Math.round(imported - started),
};

let isSeeded = false;

function bridge(Base, name) {
  const cls = entry[name];
  const made = {
    [name]: class extends Base {
      #instance;

      constructor(ctx, env) {
        super(ctx, env);
        if (!isSeeded) glue.seed(crypto.getRandomValues(new Uint32Array(1))[0]);
        isSeeded = true;
        this.#instance = cls(ctx, env);
      }

      static pass(self, method, args) {
        const instance = self.#instance;
        if (HANDLERS.has(method)) {
          return instance[method].callWithOptions({ relaxed: true, promising: true }, ...args);
        }
        return glue.call
          .callWithOptions({ promising: true }, instance, method, args)
          .then((result) => result?.js_response ?? result);
      }
    },
  }[name];
  for (const method of glue.methods(cls)) {
    made.prototype[method] = function (...args) {
      return made.pass(this, method, args);
    };
  }
  return made;
}

export const BookImportWorkflow = bridge(WorkflowEntrypoint, "BookImportWorkflow");
export const WebSocketConnectionDO = bridge(DurableObject, "WebSocketConnectionDO");
export const BatchDO = bridge(DurableObject, "BatchDO");
export const CallerLimitsDO = bridge(DurableObject, "CallerLimitsDO");
export const JobStateManagerDO = bridge(DurableObject, "JobStateManagerDO");
export default bridge(WorkerEntrypoint, "Default");
