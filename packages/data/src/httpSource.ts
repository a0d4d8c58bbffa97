import { check, givenBy, msaeError, object, optional, type Schema, whole } from '@msae/schema';
import { checkRange, type RandomAccess, type ReadOptions } from './byteSource.ts';
import { fetchSchema, signalSchema } from './options.ts';

export interface HttpOptions {
  /** Defaults to the global fetch. */
  fetch?: typeof fetch;
  headers?: Record<string, string>;
  /** How often a failed request (network error, 429, 5xx) is tried again; default 2. */
  retries?: number;
  signal?: AbortSignal | undefined;
}

const schema: Schema<HttpOptions> = object<HttpOptions>({
  fetch: optional(fetchSchema),
  headers: optional(
    givenBy<Record<string, string>>(
      'headers by name',
      (value) => typeof value === 'object' && value !== null,
      {
        help: 'sent with every request',
      },
    ),
  ),
  retries: optional(whole({ min: 0, help: 'further tries of a failed request' }), 2),
  signal: optional(signalSchema),
});

/**
 * A file behind HTTP, read by range requests (RFC 9110 §14). Throws when the server does not honour ranges:
 * a range must never turn silently into a download of the whole file.
 */
export async function fromUrl(url: string | URL, given: HttpOptions = {}): Promise<RandomAccess> {
  const options = check(schema, given, 'fromUrl');
  const name = String(url);
  const first = await request(name, 0, 1, options, options.signal);
  const total = Number(/\/(\d+)$/.exec(first.headers.get('content-range') ?? '')?.[1] ?? Number.NaN);
  await first.arrayBuffer();
  if (!Number.isSafeInteger(total)) {
    throw msaeError(
      'file',
      `${name}: the server's Content-Range gives no total size; serve it with one (and expose the header by CORS)`,
    );
  }
  const source: RandomAccess = {
    name,
    size: total,
    async read(offset: number, length: number, readOptions?: ReadOptions): Promise<Uint8Array> {
      checkRange(source, offset, length);
      if (length === 0) return new Uint8Array(0);
      const response = await request(name, offset, length, options, readOptions?.signal ?? options.signal);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.byteLength !== length) {
        throw msaeError(
          'file',
          `${name}: the server sent ${bytes.byteLength} bytes for a range of ${length} at offset ${offset}`,
        );
      }
      return bytes;
    },
  };
  return source;
}

async function request(
  url: string,
  offset: number,
  length: number,
  options: HttpOptions,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const send = options.fetch ?? fetch;
  const headers = { ...options.headers, range: `bytes=${offset}-${offset + length - 1}` };
  for (let attempt = 0; ; attempt++) {
    const last = attempt >= (options.retries ?? 2);
    let response: Response;
    try {
      response = await send(url, { headers, ...(signal ? { signal } : {}) });
    } catch (cause) {
      if (signal?.aborted || last)
        throw msaeError('file', `${url}: the request failed: ${message(cause)}`, { cause });
      await pause(attempt);
      continue;
    }
    if (response.status === 206) return response;
    await response.body?.cancel();
    const retryable = response.status === 429 || response.status >= 500;
    if (retryable && !last) {
      await pause(attempt);
      continue;
    }
    if (response.status === 200) {
      throw msaeError(
        'file',
        `${url}: the server does not honour range requests (it answered 200, not 206); serve it by one that does`,
      );
    }
    throw msaeError(
      'file',
      `${url}: the server answered ${response.status} ${response.statusText}`.trimEnd(),
    );
  }
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const pause = (attempt: number): Promise<void> => new Promise((done) => setTimeout(done, 100 * 2 ** attempt));
