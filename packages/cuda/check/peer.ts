/** PyTorch's dense step of the same shapes on the same card (peer.py), where an interpreter with torch is found. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Shape } from './stepTime.ts';

export interface PeerTime {
  readonly d: number;
  readonly n: number;
  readonly batch: number;
  readonly mode: string;
  readonly torch: string;
  readonly ms?: number;
  readonly peakMiB?: number;
  readonly error?: string;
}

const script = fileURLToPath(new URL('./peer.py', import.meta.url));

/** An interpreter that has torch; undefined where there is none. */
export function pythonWithTorch(): string | undefined {
  const given = process.env.MSAE_BENCH_PYTHON;
  const candidates = [...(given ? [given] : []), 'python3', '/opt/torch/.venv/bin/python3'];
  const asks = ['-c', 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)'];
  return candidates.find((python) => spawnSync(python, asks, { timeout: 20_000 }).status === 0);
}

/** Runs the peer for at most so many milliseconds; what it has not printed by then is left out. */
export async function runPeer(
  python: string,
  { shapes, modes, limit }: { shapes: readonly Shape[]; modes: readonly string[]; limit: number },
  onTime: (time: PeerTime) => void,
): Promise<PeerTime[]> {
  const times: PeerTime[] = [];
  const sizes = shapes.map(({ d, n, batch }) => `${d}x${n}x${batch}`).join();
  const options = ['--shapes', sizes, '--k', String(shapes[0]!.k), '--modes', modes.join()];
  const child = spawn(python, [script, ...options], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  // the whole group: torch.compile starts workers
  const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), Math.max(1, limit));
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      const time = JSON.parse(line) as PeerTime;
      times.push(time);
      onTime(time);
    }
  });
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  }).finally(() => clearTimeout(timer));
  return times;
}
