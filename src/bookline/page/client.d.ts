/** Types of client.js, for TypeScript and for editors. */

/** Codes and statuses stand in the API's reference (`/docs`). */
export class BooklineError extends Error {
  /** The API's code, or UNREACHABLE when no answer came. */
  code: string;
  /** HTTP status; 0 when no answer came. */
  status: number;
  details: Record<string, unknown> | null;
  retryAfterMs: number | null;
}

export type Source = "auto" | "google_books" | "isbndb" | "openlibrary";
export type JobStatus = "queued" | "running" | "completed" | "failed" | "cancelled";

/** `data` of a start. */
export interface Started {
  jobId: string;
  workflowId: string;
  isbn: string;
  inputIsbn: string;
  method: "workflow" | "legacy";
  status: "started";
  statusUrl: string;
  eventsUrl: string;
  wsUrl: string;
  /** Opens this job's story and status, and nothing else, for two hours. */
  token: string;
}

/** One message of a job's story. Types that you do not know may come: pass over them. */
export interface BooklineEvent {
  type: "workflow_progress" | "workflow_retry" | "workflow_warning" | "workflow_resumed" | string;
  jobId: string;
  /** 1, 2, 3 … for each job, without gaps. */
  seq: number;
  status: string | null;
  /** 0 to 1. */
  progress: number;
  /** ISO 8601. */
  timestamp: string;
  data: Record<string, any>;
}

/** A job as it stands. */
export interface Job {
  jobId: string;
  isbn: string;
  inputIsbn: string;
  source: Source;
  method: "workflow" | "legacy";
  status: JobStatus;
  step: string | null;
  attempt: number | null;
  progress: number;
  createdAt: string;
  lastUpdated: string;
  lastEvent: BooklineEvent | null;
  data: Record<string, any> | null;
  result: Record<string, any> | null;
  error: { code: string; message: string; step: string | null; attempts: number } | null;
  batchId: string | null;
}

export interface RequestOptions {
  body?: object | Blob | FormData;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  keepalive?: boolean;
}

export interface FollowState {
  state: "connecting" | "connected" | "waiting";
  over: "socket" | "stream";
  /** Until it comes back, while it waits. */
  delayMs?: number;
}

export interface FollowOptions {
  /** The job's token. Without it the key opens the story, over Server-Sent Events. */
  token?: string | null;
  /** The `seq` that was seen last. */
  after?: number;
  /** Each event behind `after` once, in order, whatever breaks. */
  onEvent: (event: BooklineEvent) => void;
  onState?: (state: FollowState) => void;
  signal?: AbortSignal;
}

export interface Followed {
  reason: "over" | "refused" | "unknown" | "aborted";
  after: number;
}

export interface Client {
  /** The API key; may be set later. */
  key: string | null;
  /** How far the server's clock is ahead of ours. */
  skewMs: number;
  /** The answer's `data`. Throws BooklineError. */
  request(method: string, path: string, options?: RequestOptions): Promise<any>;
  /** The answer as it is. */
  send(method: string, path: string, options?: RequestOptions): Promise<Response>;
  /** What has no envelope, as text. Throws BooklineError. */
  readText(path: string, options?: RequestOptions): Promise<string>;
  /** The same as bytes. */
  readBlob(path: string, options?: RequestOptions): Promise<Blob>;
  /** Asked twice with one `idempotencyKey` it is one job. Throws BooklineError. */
  startImport(
    isbn: string,
    options?: { source?: Source; idempotencyKey?: string; signal?: AbortSignal },
  ): Promise<Started>;
  getStatus(jobId: string): Promise<Job>;
  cancel(jobId: string): Promise<Job>;
  retry(jobId: string): Promise<Job>;
  /** Ends when the job has ended. */
  follow(jobId: string, options: FollowOptions): Promise<Followed>;
  /** Followers that wait to come back do so at once: the network is there again. */
  wake(): void;
}

/** Without `baseUrl` it is the page's own origin. */
export function createClient(options?: { baseUrl?: string; key?: string | null }): Client;
