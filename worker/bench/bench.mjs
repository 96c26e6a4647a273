// The Worker on this machine: Cloudflare's own runtime and engine (npm's workerd and miniflare),
// CPython (npm's pyodide), the real SDK (PyPI), and stand-ins for Workers AI and Vectorize alone.
//
//   node bench/bench.mjs '{"port": 8788, "vars": {"OPENLIBRARY_URL": "…"}, "entry": "entry"}'
//
// Says {"ready": url} on stdout when it serves. Then each line on stdin is an order, answered by one
// line: {"kill": true} ends workerd by SIGKILL, {"evict": job} puts a job's Durable Object to sleep,
// {"stop": true} ends the bench; see ORDERS.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

const HERE = dirname(fileURLToPath(import.meta.url));
const WORKER = dirname(HERE);
const PYODIDE = join(WORKER, "node_modules", "pyodide");
const MODULES = join(WORKER, "python_modules");
const COMPATIBILITY_DATE = "2026-11-01"; // as in wrangler.jsonc
const STAND_INS = {
  AI: { name: "stand-ins", entrypoint: "AI" },
  BOOK_VECTORS: { name: "stand-ins", entrypoint: "Vectors" },
};

function module(type, name, path) {
  return { type, path: name, contents: readFileSync(path) };
}

function json(name, value) {
  return { type: "ESModule", path: name, contents: `export default ${JSON.stringify(value)}` };
}

/** Every file below a folder whose name ends so, by its path from `root`. */
function texts(root, folder, ending, found = {}) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== "__pycache__") texts(root, path, ending, found);
    else if (entry.name.endsWith(ending)) found[relative(root, path)] = readFileSync(path, "utf8");
  }
  return found;
}

function sources(folders) {
  const found = { ...texts(WORKER, MODULES, ".py") };
  for (const folder of folders) Object.assign(found, texts(folder, folder, ".py"));
  return found;
}

function worker({ entry, vars, folders, without }) {
  const lock = JSON.parse(readFileSync(join(PYODIDE, "pyodide-lock.json"), "utf8"));
  const has = (binding) => !without.includes(binding);
  const only = (bindings) => Object.fromEntries(Object.entries(bindings).filter(([name]) => has(name)));
  return {
    name: "bookline",
    modulesRoot: "/",
    compatibilityDate: COMPATIBILITY_DATE,
    modules: [
      ...["classes.mjs", "python.mjs", "hide.mjs"].map((name) => module("ESModule", name, join(HERE, name))),
      ...["pyodide.mjs", "pyodide.asm.mjs"].map((name) => module("ESModule", name, join(PYODIDE, name))),
      module("CompiledWasm", "pyodide.asm.wasm", join(PYODIDE, "pyodide.asm.wasm")),
      module("Data", "python_stdlib.zip", join(PYODIDE, "python_stdlib.zip")),
      json("pyodide-lock.json", { info: lock.info }),
      json("sources.json", sources(folders)),
      json("settings.json", { entry }),
      module("ESModule", "python_modules/workers/workflows.js", join(MODULES, "workers", "workflows.js")),
    ],
    assets: { directory: join(WORKER, "assets"), routerConfig: { has_user_worker: true } },
    bindings: vars,
    kvNamespaces: ["BOOK_CACHE", "METRICS_KV"].filter(has),
    r2Buckets: ["R2_BUCKET"].filter(has),
    d1Databases: ["DB"].filter(has),
    durableObjects: only({
      WEBSOCKET_DO: { className: "WebSocketConnectionDO", useSQLite: true },
      CALLER_LIMITS: { className: "CallerLimitsDO", useSQLite: true },
      BATCH_DO: { className: "BatchDO", useSQLite: true },
      JOB_STATE_MANAGER: { className: "JobStateManagerDO", useSQLite: true },
    }),
    workflows: { BOOK_IMPORT_WORKFLOW: { name: "book-import", className: "BookImportWorkflow" } },
    serviceBindings: only(STAND_INS),
  };
}

export async function start(options) {
  const { port = 0, persist, tables = true, ...chosen } = options;
  const bench = new Miniflare(
    convertV4MiniflareOptions({
      log: new Log(LogLevel.WARN),
      host: "127.0.0.1",
      port,
      cf: false,
      telemetry: { enabled: false },
      unsafeTriggerHandlers: true,
      ...(persist ? { resourcePersistencePath: persist } : {}),
      workers: [
        worker({ entry: "entry", vars: {}, folders: [join(WORKER, "main")], without: [], ...chosen }),
        {
          name: "stand-ins",
          modulesRoot: "/",
          compatibilityDate: COMPATIBILITY_DATE,
          modules: [module("ESModule", "stand_ins.mjs", join(HERE, "stand_ins.mjs"))],
        },
      ],
    }),
  );
  const url = await bench.ready;
  if (tables) await migrate(bench);
  return { bench, url: String(url).replace(/\/$/, "") };
}

/** D1's tables, as wrangler would make them; none where they are there or DB is not bound. */
async function migrate(bench) {
  const { DB } = await bench.getBindings("bookline");
  if (!DB || (await DB.prepare("SELECT 1 FROM sqlite_master WHERE name = 'books'").first())) return;
  const text = readFileSync(join(WORKER, "migrations", "0001_bookline.sql"), "utf8");
  const statements = text.split(";\n").filter((one) => one.trim());
  await DB.batch(statements.map((one) => DB.prepare(one)));
}

/** The process that runs the Worker: our own child, by its number. */
function workerd() {
  const children = execFileSync("ps", ["--ppid", String(process.pid), "-o", "pid=,comm="]).toString();
  const line = children.split("\n").find((one) => one.trim().endsWith("workerd"));
  return Number(line.trim().split(/\s+/)[0]);
}

async function instance(bench, id) {
  const { BOOK_IMPORT_WORKFLOW } = await bench.getBindings("bookline");
  return BOOK_IMPORT_WORKFLOW.get(id);
}

const ORDERS = {
  kill: () => process.kill(workerd(), "SIGKILL"),
  evict: (bench, name) =>
    bench.unsafeEvictDurableObject("bookline", name.startsWith("batch-") ? "BatchDO" : "WebSocketConnectionDO", { name }),
  forget: (bench, name) => bench.unsafeEvictDurableObject("bookline", "CallerLimitsDO", { name }),
  status: async (bench, id) => (await instance(bench, id)).status(),
  pause: async (bench, id) => (await instance(bench, id)).pause(),
  resume: async (bench, id) => (await instance(bench, id)).resume(),
  terminate: async (bench, id) => (await instance(bench, id)).terminate(),
  // An event that nobody waits for sets an instance going that stands still; to others it is nothing.
  wake: async (bench, id) => (await instance(bench, id)).sendEvent({ type: "wake", payload: {} }),
  memory: () => Number(readFileSync(`/proc/${workerd()}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) * 1024,
};

async function obey(bench, line) {
  try {
    const [[name, value]] = Object.entries(JSON.parse(line));
    return { answer: (await ORDERS[name](bench, value)) ?? null };
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { bench, url } = await start(JSON.parse(process.argv[2] ?? "{}"));
  console.log(JSON.stringify({ ready: url }));
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.includes('"stop"')) break;
    console.log(JSON.stringify(await obey(bench, line)));
  }
  await bench.dispose();
  process.exit(0);
}
