/** Checkpoints on the Hugging Face hub, by name: only the byte ranges that are needed are downloaded. */
import { type HubLocation, hubRepository } from '@msae/data';
import type { Folder } from './folder.ts';

/** A repository as a folder. It lists the files of `location.path`, but opens any. */
export function hubFolder(location: HubLocation): Folder {
  const repository = hubRepository(location);
  return {
    name: repository.name,
    list: () => repository.list(location.path),
    open: (path) => repository.open(path),
  };
}
