/** The Hugging Face hub: one syntax of addresses, one way to a repository's files. Only what is asked for is downloaded. */
import { check, msaeError, object, optional, type Schema, text } from '@msae/schema';
import { fromBlob, type RandomAccess } from './byteSource.ts';
import { fetchSchema } from './options.ts';

/** A place on the hub. */
export interface HubLocation {
  /** `owner/name` of a model repository. */
  repo: string;
  /** Folder or file within it. */
  path?: string;
  /** Branch, tag or commit; default `main`. */
  revision?: string;
  /** Default https://huggingface.co; for a mirror. */
  hubUrl?: string;
  /** For private and gated repositories. */
  accessToken?: string;
  fetch?: typeof fetch;
}

export const hubLocationSchema: Schema<HubLocation> = object<HubLocation>({
  repo: text({ help: 'owner/name of a repository' }),
  path: optional(text({ help: 'folder or file within it' })),
  revision: optional(text({ help: 'branch, tag or commit' })),
  hubUrl: optional(text({ help: 'of a mirror' })),
  accessToken: optional(text({ help: 'for private and gated repositories' })),
  fetch: optional(fetchSchema),
});

/** A repository's files. */
export interface HubRepository {
  /** `hf://owner/name[@revision]` */
  readonly name: string;
  /** Paths of all files, or of those in a folder. */
  list(folder?: string): Promise<readonly string[]>;
  /** A file, to be streamed or read by range; undefined where there is none. */
  download(path: string): Promise<Blob | undefined>;
  /** A file, read by range; undefined where there is none. */
  open(path: string): Promise<RandomAccess | undefined>;
}

/**
 * Reads `hf://owner/name[@revision][/path]`; with `bare` also `owner/name` alone, which may be a path on disk as well: look there
 * first. Undefined for what is no address of the hub.
 *
 * @throws MsaeError `option` for an `hf:` address that is not of that form
 */
export function parseHubAddress(
  address: string,
  options: { readonly bare?: boolean } = {},
): HubLocation | undefined {
  if (options.bare && /^[\w.-]+\/[\w.-]+$/.test(address)) return { repo: address };
  if (!/^hf:/.test(address)) return undefined;
  const match = /^hf:(?:\/\/)?([\w.-]+\/[\w.-]+)(?:@([^/]+))?(?:\/(.*))?$/.exec(address);
  if (!match) {
    throw msaeError(
      'option',
      `${address}: expected hf://owner/name, hf://owner/name/folder or hf://owner/name@revision/folder`,
    );
  }
  const [, repo, revision, path] = match;
  const within = path?.replace(/\/+$/, '');
  return {
    repo: repo!,
    ...(revision && { revision: decodeURIComponent(revision) }),
    ...(within && { path: within }),
  };
}

/**
 * The repository of a location; its `path` is left to the caller.
 *
 * @throws MsaeError `option`; from its methods `file` where the hub does not answer or has no such repository
 */
export function hubRepository(location: HubLocation): HubRepository {
  const { repo, revision, hubUrl, accessToken, fetch } = check(hubLocationSchema, location, 'hub');
  const params = {
    repo: { type: 'model', name: repo } as const,
    ...(revision !== undefined && { revision }),
    ...(hubUrl !== undefined && { hubUrl }),
    ...(accessToken !== undefined && { accessToken }),
    ...(fetch && { fetch }),
  };
  const name = `hf://${repo}${revision === undefined ? '' : `@${revision}`}`;
  const failed = (what: string, cause: unknown): Error =>
    msaeError(
      'file',
      `${name}: the Hugging Face hub does not give ${what}: ${cause instanceof Error ? cause.message : String(cause)}; check the name, the revision and, for a gated repository, the access token`,
      { cause, file: name },
    );
  const listed = new Map<string, Promise<readonly string[]>>();
  const list = async (folder: string): Promise<readonly string[]> => {
    const { listFiles } = await import('@huggingface/hub');
    const paths: string[] = [];
    try {
      for await (const entry of listFiles({ ...params, recursive: true, ...(folder && { path: folder }) })) {
        if (entry.type === 'file') paths.push(entry.path);
      }
    } catch (cause) {
      throw failed(folder ? `the folder ${folder}` : 'a list of its files', cause);
    }
    return paths;
  };
  const download = async (path: string): Promise<Blob | undefined> => {
    const { downloadFile } = await import('@huggingface/hub');
    try {
      return (await downloadFile({ ...params, path })) ?? undefined;
    } catch (cause) {
      throw failed(path, cause);
    }
  };
  return {
    name,
    list(folder = '') {
      if (!listed.has(folder)) listed.set(folder, list(folder));
      return listed.get(folder)!;
    },
    download,
    async open(path) {
      const blob = await download(path);
      return blob && fromBlob(blob, `${name}/${path}`);
    },
  };
}
