/** Optional packages belong to the user's project, not to us: looked up from its folder first, then from ours. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folders that optional packages are looked up from: the current directory, the running script, this package. */
export function searchRoots(): string[] {
  const script = process.argv[1];
  return [process.cwd(), ...(script ? [dirname(script)] : []), dirname(fileURLToPath(import.meta.url))];
}

/**
 * The folder of the installed package `name`, or `undefined`. Walks `node_modules` itself, so that it also finds a
 * package whose entry point is broken or whose `exports` hide its package.json.
 */
export function findPackage(name: string, roots: readonly string[] = searchRoots()): string | undefined {
  for (const root of roots) {
    for (const folder of createRequire(join(root, 'noop.js')).resolve.paths(name) ?? []) {
      const candidate = join(folder, name);
      if (existsSync(join(candidate, 'package.json'))) return candidate;
    }
  }
  return undefined;
}
