/** Work that is there already is never replaced unasked. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { msaeError } from '@msae/schema';

/** Put it among a command's `args` under the name `force`. */
export const forceArgument = {
  type: 'boolean',
  description: 'replace what is there already',
} as const;

/**
 * @param option what names the path: `--out`, or the argument's name
 * @throws MsaeError `option` when there is a file, or a folder with something in it, and `force` is not given
 */
export async function refuseExisting(
  path: string,
  option: string,
  force: boolean | undefined,
): Promise<void> {
  if (force) return;
  const there = await stat(path).catch(() => null);
  if (there === null || (there.isDirectory() && (await readdir(path)).length === 0)) return;
  throw msaeError(
    'option',
    `${option}: ${path} is there already and would be replaced; name another place, or add --force`,
  );
}

/** @throws MsaeError `option` when both are one file or folder */
export async function refuseSame(input: string, output: string): Promise<void> {
  const [from, to] = await Promise.all([input, output].map((path) => realpath(path).catch(() => null)));
  if (from === null || from !== to) return;
  throw msaeError('option', `${output}: it is what is read; name another place to write to`);
}
