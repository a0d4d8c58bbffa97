/**
 * Where checkpoints live. A checkpoint is a named set of files that appears whole or not at all: `write` must be
 * atomic, so that a process killed in the middle, or a disk that fills up, leaves the older checkpoints as they were.
 * `directoryStorage` of `@msae/train/node` keeps them on disk, `opfsStorage` in a browser, `memoryStorage` in a test.
 */

import type { ByteInput, ByteSink } from '@msae/data';
import { msaeError } from '@msae/schema';

/** A file of a checkpoint, written piece by piece: no second copy of all weights is needed. */
export interface CheckpointFile {
  readonly name: string;
  readonly write: (sink: ByteSink) => Promise<void>;
}

export interface CheckpointStorage {
  /** Names of the complete checkpoints, sorted; later steps come later. */
  list(): Promise<string[]>;
  /** All files or none. Rejects with the reason (disk full …) and leaves every other checkpoint as it was. */
  write(name: string, files: readonly CheckpointFile[]): Promise<void>;
  /** One file, read by position. Rejects with an error that names the checkpoint and the file. */
  read(name: string, file: string): Promise<ByteInput>;
  remove(name: string): Promise<void>;
}

/** Checkpoints in memory: gone with the process. */
export function memoryStorage(): CheckpointStorage {
  const checkpoints = new Map<string, Map<string, Uint8Array>>();
  return {
    list: async () => [...checkpoints.keys()].sort(),
    async write(name, files) {
      const contents = new Map<string, Uint8Array>();
      for (const file of files) contents.set(file.name, await collect(file));
      checkpoints.set(name, contents);
    },
    async read(name, file) {
      const bytes = checkpoints.get(name)?.get(file);
      if (bytes === undefined) throw msaeError('file', `checkpoint ${name}: there is no file ${file}`);
      return bytes;
    },
    async remove(name) {
      checkpoints.delete(name);
    },
  };
}

async function collect(file: CheckpointFile): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await file.write({ write: (bytes) => void parts.push(bytes.slice()) });
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
