/** Events as JSON lines in a file. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory, writeFileAtomic } from '@msae/data/node';
import type { EventSink } from '../events.ts';
import { eventToJson } from '../sinks/jsonl.ts';

/**
 * A sink that appends to the JSONL file at `path` (directories are made). `resumeStep`: the step the run continues
 * from; lines of later steps, and a line cut short by a kill, are removed first, so that the file reads like one run.
 * Without it an existing file is replaced.
 */
export function jsonlFileSink(options: { path: string; resumeStep?: number }): EventSink {
  let file: Promise<FileHandle> | null = null;
  const start = async (): Promise<FileHandle> => {
    await makeDirectory(dirname(options.path));
    await writeFileAtomic(options.path, await kept(options.path, options.resumeStep));
    return open(options.path, 'a');
  };
  return {
    async write(event) {
      file ??= start();
      await (await file).appendFile(eventToJson(event));
    },
    async close() {
      if (file === null) return;
      const handle = await file;
      file = null;
      await handle.sync();
      await handle.close();
    },
  };
}

async function kept(path: string, resumeStep: number | undefined): Promise<string> {
  if (resumeStep === undefined) return '';
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const lines = text.split('\n').filter((line) => {
    try {
      const event = JSON.parse(line) as { step?: number; type?: string };
      return typeof event.step === 'number' && event.step <= resumeStep && event.type !== 'done';
    } catch {
      return false;
    }
  });
  return lines.map((line) => `${line}\n`).join('');
}
