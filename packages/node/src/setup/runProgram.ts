/** Runs a program to its end and keeps what it said, for messages that quote the cause. */
import { spawn } from 'node:child_process';

export interface ProgramResult {
  /** Exit code; `null` when a signal or the time limit ended it; -1 when it could not be started. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** Milliseconds until the program is killed. Default: none. */
  timeout?: number;
}

const KEEP = 200_000;

/** Never throws for a failing program; rejects only when `signal` aborts. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ProgramResult> {
  const { cwd, env = process.env, signal, timeout } = options;
  signal?.throwIfAborted();
  const result = await new Promise<ProgramResult>((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-KEEP);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEEP);
    });
    const kill = (): void => void child.kill('SIGKILL');
    const timer = timeout
      ? setTimeout(() => {
          timedOut = true;
          kill();
        }, timeout)
      : undefined;
    signal?.addEventListener('abort', kill, { once: true });
    const finish = (code: number | null, by: NodeJS.Signals | null): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
      resolve({ code, signal: by, stdout, stderr, timedOut });
    };
    child.once('error', (error) => {
      stderr += error.message;
      finish(-1, null);
    });
    child.once('close', finish);
  });
  signal?.throwIfAborted();
  return result;
}

/** The last lines of what a failed program said, errors first, short enough to quote in a message. */
export function lastWords(result: ProgramResult, lines = 3): string {
  const all = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const errors = all.filter((line) => /\berror\b/i.test(line));
  return (errors.length > 0 ? errors : all).slice(-lines).join(' | ').slice(0, 600) || 'it said nothing';
}
