/** Outcomes of probes in the cache folder: a model is tried once, not at every opening. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory, writeFileAtomic } from '@msae/data/node';
import type { ProofCache } from '../onnx/recognise.ts';

/** @param folder default `$XDG_CACHE_HOME/msae/proofs`, or `~/.cache/msae/proofs` */
export function proofFolder(folder: string = defaultFolder()): ProofCache {
  return {
    get: (key) => readFile(join(folder, `${key}.json`), 'utf8').catch(() => undefined),
    // a cache that cannot be written costs time, not the result
    set: async (key, value) => {
      await makeDirectory(folder).catch(() => undefined);
      await writeFileAtomic(join(folder, `${key}.json`), value).catch(() => undefined);
    },
  };
}

function defaultFolder(): string {
  const { XDG_CACHE_HOME } = process.env;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'msae', 'proofs');
}
