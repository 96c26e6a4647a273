// Makes an isolate of workerd look like a plain browser's page while Pyodide is loaded into it.
//
// Imported first: pyodide.mjs and Emscripten look at these globals while they are evaluated.
//   process          would make them believe in Node and read files: hidden.
//   window, document, sessionStorage, location: without them they find no environment that they know.
//   WebAssembly.compile, instantiate: compile beside the event loop, and no task of the loop runs
//                    while a Worker's modules are evaluated: replaced by the synchronous forms.
// `restore` takes all of it back once Python runs.

const page = { sessionStorage: {}, document: { createElement: () => ({}) } };
const shown = { window: page, document: page.document, sessionStorage: {}, location: new URL("https://bench/") };
const { compile, instantiate } = WebAssembly;
const node = globalThis.process;

function define(name, value) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

define("process", undefined);
for (const [name, value] of Object.entries(shown)) define(name, value);

WebAssembly.compile = async (bytes) => new WebAssembly.Module(bytes);
WebAssembly.instantiate = async (source, imports) => {
  if (source instanceof WebAssembly.Module) return new WebAssembly.Instance(source, imports);
  const module = new WebAssembly.Module(source);
  return { module, instance: new WebAssembly.Instance(module, imports) };
};

export function restore() {
  for (const name of Object.keys(shown)) delete globalThis[name];
  Object.assign(WebAssembly, { compile, instantiate });
  define("process", node);
}
