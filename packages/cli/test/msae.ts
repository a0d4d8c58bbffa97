/** Runs the program as a user does, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const packageFolder = fileURLToPath(new URL('..', import.meta.url));

export interface Run {
  /** as a shell tells it: 128 and the signal's number after a signal */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  /** Called with the process, and again with what it has written so far. */
  readonly watch?: (child: ChildProcess, out: string, err: string) => void;
}

export function msae(args: readonly string[], { env = {}, watch }: RunOptions = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
      cwd: packageFolder,
      env: { ...process.env, ...env },
    });
    let [out, err] = ['', ''];
    watch?.(child, out, err);
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk;
      watch?.(child, out, err);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk;
      watch?.(child, out, err);
    });
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ code: signal === null ? code : 128 + constants.signals[signal], out, err }),
    );
  });
}
