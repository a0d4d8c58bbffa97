/** The kernels, compiled for the device at first use and kept on disk: ~/.cache/msae/cuda, or MSAE_CACHE. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { deviceError } from './errors.ts';
import { openNvrtc } from './ffi/nvrtc.ts';
import { common, files, kernels } from './generated/kernels.ts';

/** The machine code of one file of kernels. `arch` is e.g. sm_90; undefined on the emulated driver, which has them all built in. */
export function kernelImage(file: string, arch: string | undefined): Uint8Array {
  if (arch === undefined) return new Uint8Array(1);
  const source = `${common}\n${files[file]}`;
  const hash = createHash('sha256').update(source).update(arch).digest('hex').slice(0, 24);
  const folder = cacheFolder();
  const path = join(folder, `${file}-${arch}-${hash}.cubin`);
  if (existsSync(path)) return readFileSync(path);
  const { cubin } = openNvrtc().compile(source, file, arch);
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${path}.${process.pid}`, cubin);
    renameSync(`${path}.${process.pid}`, path);
  } catch {
    // a cache that cannot be written costs a second at the next start, nothing else
  }
  return cubin;
}

/** File and parameter letters of a kernel. */
export function kernelSignature(name: string): readonly [file: string, parameters: string] {
  const signature = kernels[name];
  if (signature === undefined) throw deviceError(`there is no kernel ${name}`);
  return signature;
}

function cacheFolder(): string {
  const base = process.env.MSAE_CACHE ?? process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(base, 'msae', 'cuda');
}
