/** Which format a folder or file is: by the names that only one format uses, else by the tensors inside. */
import type { Checkpoint } from '../checkpoint.ts';
import { openSafetensors, openTorch } from '../containers/openTensors.ts';
import { type Folder, subfolder } from '../folder.ts';
import { formatError } from '../formatError.ts';
import type { Candidate } from './definition.ts';
import { type FormatName, formats } from './table.ts';

/** A description, and the format it was found in. */
export interface Detected {
  readonly format: FormatName;
  readonly checkpoint: Checkpoint;
}

const names = Object.keys(formats) as FormatName[];
const marks = names.flatMap((name) => formats[name].marks);

/**
 * Reads the description of the SAE in `folder`, or in its file `path`.
 *
 * @param hint the user's own name for the place (Gemma Scope's folder names carry meaning)
 */
export async function readCheckpoint(folder: Folder, path?: string, hint = ''): Promise<Detected> {
  if (path !== undefined) return readFile(folder, path, hint);
  const paths = await folder.list();
  const has = async (name: string): Promise<boolean> => {
    if (paths) return paths.includes(name);
    return (await folder.open(name)) !== undefined;
  };
  for (const name of marks) if (await has(name)) return readFile(folder, name, hint);
  return readUnmarked(folder, paths, hint);
}

async function readFile(root: Folder, path: string, hint: string): Promise<Detected> {
  const file = candidate(root, path, hint);
  for (const format of names) {
    if (await formats[format].recognise(file))
      return { format, checkpoint: await formats[format].read(file) };
  }
  if (/\.safetensors$/i.test(file.name)) {
    const table = await file.safetensors();
    throw unknown(
      table.file,
      `the tensors ${table.names.slice(0, 8).join(', ')} without a configuration`,
      'give the folder, with its cfg.json, instead of the file',
    );
  }
  throw unknown(`${root.name}/${path}`, `a file named ${file.name}`);
}

function candidate(root: Folder, path: string, hint: string): Candidate {
  const slash = path.lastIndexOf('/');
  const folder = slash < 0 ? root : subfolder(root, path.slice(0, slash));
  const name = path.slice(slash + 1);
  let table: ReturnType<Candidate['safetensors']> | undefined;
  let state: ReturnType<Candidate['torch']> | undefined;
  return {
    root,
    path,
    folder,
    name,
    hint,
    safetensors: () => (table ??= openSafetensors(folder, name)),
    torch: () => (state ??= openTorch(folder, name)),
  };
}

async function readUnmarked(
  folder: Folder,
  paths: readonly string[] | undefined,
  hint: string,
): Promise<Detected> {
  if (!paths) {
    throw unknown(
      folder.name,
      'none of the usual files',
      'this place cannot be listed: give the address of the weights file',
    );
  }
  const loose = paths.filter((path) => !path.includes('/') && /\.(pt|pth|npz|safetensors)$/i.test(path));
  if (loose.length === 1) return readFile(folder, loose[0]!, hint);
  const nested = paths.filter(
    (path) => path.includes('/') && marks.includes(path.slice(path.lastIndexOf('/') + 1)),
  );
  const folders = [...new Set(nested.map((path) => path.slice(0, path.lastIndexOf('/'))))];
  if (folders.length === 1) return readFile(folder, nested[0]!, hint);
  const several = folders.length ? folders : loose;
  if (several.length) {
    const listed = several.slice(0, 8).join(', ') + (several.length > 8 ? `, … (${several.length})` : '');
    throw unknown(folder.name, `several SAEs: ${listed}`, 'name one of them');
  }
  throw unknown(folder.name, paths.length ? `files such as ${paths.slice(0, 5).join(', ')}` : 'no files');
}

function unknown(file: string, found: string, hint?: string): Error {
  const titles = [...new Set(names.map((name) => formats[name].title))];
  return formatError({
    file,
    field: 'format',
    found,
    expected: `an SAE of ${titles.slice(0, -1).join(', ')} or ${titles.at(-1)}`,
    ...(hint ? { hint } : {}),
  });
}
