// CPython (npm's pyodide, no file of it patched) inside an ordinary Worker, started once with it.
//
// What a Worker may not do while its modules are evaluated, and what stands in for it:
//   fetch               Pyodide asks for its standard library: it gets the one that is bundled.
//   setTimeout          no timer fires: a microtask does.
//   instantiateStreaming  there is nothing to stream: the compiled module is bundled.
//   random numbers      none before the first request: Python's hash seed gets a fixed one, as on
//                       Cloudflare; classes.mjs seeds anew at the first request.

import { restore } from "./hide.mjs";
import { loadPyodide } from "./pyodide.mjs";
import createPyodideModule from "./pyodide.asm.mjs";
import interpreter from "./pyodide.asm.wasm";
import standardLibrary from "./python_stdlib.zip";
import lock from "./pyodide-lock.json";

const HOME = "https://bench/";

async function withStandIns(work) {
  const { fetch, setTimeout } = globalThis;
  const { instantiateStreaming } = WebAssembly;
  globalThis.fetch = async (url) => ({ ok: true, status: 200, url: String(url), arrayBuffer: async () => standardLibrary });
  globalThis.setTimeout = (call, _, ...values) => (queueMicrotask(() => call(...values)), 0);
  WebAssembly.instantiateStreaming = async (_, imports) => ({
    module: interpreter,
    instance: await WebAssembly.instantiate(interpreter, imports),
  });
  Object.defineProperty(crypto, "getRandomValues", { configurable: true, value: (array) => array.fill(7) });
  try {
    return await work();
  } finally {
    Object.assign(globalThis, { fetch, setTimeout });
    WebAssembly.instantiateStreaming = instantiateStreaming;
    delete crypto.getRandomValues;
    restore();
  }
}

/** Python, after `prepare` has imported what wants random numbers at its import. */
export function startPython(prepare) {
  return withStandIns(async () => {
    const python = await loadPyodide({
      indexURL: HOME,
      packageBaseUrl: HOME,
      createPyodideModule,
      lockFileContents: { ...lock, packages: {} },
      env: { HOME: "/session", PYTHONHASHSEED: "0" },
    });
    await prepare(python);
    return python;
  });
}
