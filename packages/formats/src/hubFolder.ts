/** Checkpoints on the Hugging Face hub, by name: only the byte ranges that are needed are downloaded. */
import { fromBlob } from '@msae/data';
import type { Folder } from './folder.ts';
import { formatError } from './formatError.ts';

export interface HubLocation {
  /** `owner/name` of a model repository. */
  repo: string;
  /** Folder or file within it. */
  path?: string;
  /** Branch, tag or commit; default `main`. */
  revision?: string;
  /** Default https://huggingface.co; HF_ENDPOINT for a mirror. */
  hubUrl?: string;
  /** For private and gated repositories. */
  accessToken?: string;
  fetch?: typeof fetch;
}

/** `hf://owner/name[@revision][/path]` */
export function parseHubName(text: string): HubLocation | undefined {
  if (!/^hf:/.test(text)) return undefined;
  const match = /^hf:(?:\/\/)?([\w.-]+\/[\w.-]+)(?:@([^/]+))?(?:\/(.*))?$/.exec(text);
  if (!match) {
    throw formatError({
      file: text,
      field: 'hub name',
      found: text,
      expected: 'hf://owner/name, hf://owner/name/folder or hf://owner/name@revision/folder',
    });
  }
  const [, repo, revision, path] = match;
  return {
    repo: repo!,
    ...(revision ? { revision: decodeURIComponent(revision) } : {}),
    ...(path ? { path: path.replace(/\/+$/, '') } : {}),
  };
}

/** A repository as a folder (its root: `path` is left to the caller). */
export function hubFolder(location: HubLocation): Folder {
  const { repo, revision, hubUrl, accessToken } = location;
  const params = {
    repo: { type: 'model', name: repo } as const,
    ...(revision ? { revision } : {}),
    ...(hubUrl ? { hubUrl } : {}),
    ...(accessToken ? { accessToken } : {}),
    ...(location.fetch ? { fetch: location.fetch } : {}),
  };
  const name = `hf://${repo}${revision ? `@${revision}` : ''}`;
  const failed = (what: string, cause: unknown): Error =>
    formatError({
      file: name,
      field: what,
      found: cause instanceof Error ? cause.message : String(cause),
      expected: 'an answer of the hub',
      hint: 'check the name, the revision and, for a gated repository, the access token',
      cause,
    });
  const listed = new Map<string, Promise<readonly string[]>>();
  const list = async (path: string): Promise<readonly string[]> => {
    const { listFiles } = await import('@huggingface/hub');
    const paths: string[] = [];
    try {
      for await (const entry of listFiles({ ...params, recursive: true, ...(path ? { path } : {}) })) {
        if (entry.type === 'file') paths.push(entry.path);
      }
    } catch (cause) {
      throw failed(path ? `folder ${path}` : 'listing', cause);
    }
    return paths;
  };
  return {
    name,
    list() {
      const path = location.path ?? '';
      if (!listed.has(path)) listed.set(path, list(path));
      return listed.get(path)!;
    },
    async open(path) {
      const { downloadFile } = await import('@huggingface/hub');
      let blob: Blob | null;
      try {
        blob = await downloadFile({ ...params, path });
      } catch (cause) {
        throw failed(path, cause);
      }
      return blob ? fromBlob(blob, `${name}/${path}`) : undefined;
    },
  };
}
