/** Where the stores of a harvest lie on disk. */
import { join } from 'node:path';
import { fileDirectory } from '@msae/data/node';
import type { HarvestToStoresOptions } from '../harvestToStores.ts';

/** One tap's store is `folder` itself; several lie in it, each under its tap's name. */
export function storeFolders(folder: string, taps: readonly string[]): HarvestToStoresOptions['stores'] {
  const name = (tap: string) => tap.replace(/[^\w.-]+/g, '_').replace(/^\.+/, '_');
  return taps.map((tap) => ({
    tap,
    directory: fileDirectory(taps.length === 1 ? folder : join(folder, name(tap))),
  }));
}
