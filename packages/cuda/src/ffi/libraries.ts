/** Where NVIDIA's shared libraries are: the loader's own search, the toolkit, and the folders of pip's nvidia wheels. */
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { msaeError } from '@msae/schema';
import koffi, { type LibraryHandle } from 'koffi';

export type CudaLibrary = 'driver' | 'nvrtc' | 'cublas';

interface LibraryName {
  /** file names, the newest first */
  readonly files: readonly string[];
  /** how to get it */
  readonly advice: string;
}

const LIBRARIES: Readonly<Record<CudaLibrary, LibraryName>> = {
  driver: {
    files: ['libcuda.so.1', 'libcuda.so'],
    advice: 'it comes with the NVIDIA driver (580 or later for CUDA 13, 525 or later for CUDA 12)',
  },
  nvrtc: {
    files: ['libnvrtc.so.13', 'libnvrtc.so.12', 'libnvrtc.so'],
    advice: 'install it with `pip install nvidia-cuda-nvrtc`, or the CUDA toolkit',
  },
  cublas: {
    files: ['libcublas.so.13', 'libcublas.so.12', 'libcublas.so'],
    advice: 'install it with `pip install nvidia-cublas`, or the CUDA toolkit',
  },
};

/** The path of the emulated driver, which then stands for all three libraries; undefined on a real machine. */
export function emulatorPath(): string | undefined {
  return process.env.MSAE_CUDA_EMULATE || undefined;
}

/**
 * Loads one of NVIDIA's libraries.
 *
 * @throws MsaeError `device` (the driver) or `missing` that names the library, how to get it, and where it was looked for.
 */
export function openLibrary(library: CudaLibrary): LibraryHandle {
  const emulator = emulatorPath();
  if (emulator !== undefined) return koffi.load(emulator);
  const { files, advice } = LIBRARIES[library];
  const folders = libraryFolders();
  const failures: string[] = [];
  for (const file of files) {
    for (const path of [file, ...folders.map((folder) => join(folder, file)).filter(existsSync)]) {
      try {
        preloadNeeded(path);
        return koffi.load(path);
      } catch (error) {
        if (path !== file) failures.push(`${path}: ${(error as Error).message}`);
      }
    }
  }
  const tried = failures.length > 0 ? ` Found, but not loadable: ${failures.join('; ')}.` : '';
  throw msaeError(
    library === 'driver' ? 'device' : 'missing',
    `cuda: ${files[0]} was not found; ${advice}. Looked in the loader's path and ${folders.length} folders` +
      ` (set MSAE_CUDA_LIBRARIES or CUDA_HOME to name another).${tried}`,
    { library },
  );
}

/** cuBLAS needs its other half, which lies beside it but need not be in the loader's path. */
function preloadNeeded(path: string): void {
  const other = path.replace(/libcublas\.so/, 'libcublasLt.so');
  if (other !== path && existsSync(other)) koffi.load(other, { global: true });
}

/** Existing folders, the most specific first. */
function libraryFolders(): string[] {
  const { env } = process;
  const split = (paths: string | undefined): string[] => (paths ?? '').split(':').filter(Boolean);
  const toolkits = [env.CUDA_HOME, env.CUDA_PATH, '/usr/local/cuda', ...matching('/usr/local', /^cuda-/)];
  const pythons = [
    env.VIRTUAL_ENV,
    env.CONDA_PREFIX,
    '.venv',
    join(homedir(), '.local'),
    '/usr/local',
    '/usr',
  ];
  const folders = [
    ...split(env.MSAE_CUDA_LIBRARIES),
    ...split(env.LD_LIBRARY_PATH),
    ...toolkits.flatMap((root) =>
      root ? [join(root, 'lib64'), join(root, 'targets/x86_64-linux/lib')] : [],
    ),
    ...[...pythons, '/opt/torch/.venv'].flatMap((root) => (root ? pythonFolders(root) : [])),
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/lib/wsl/lib',
    '/usr/local/nvidia/lib64',
  ];
  return [...new Set(folders)].filter(existsSync);
}

/** nvidia/…/lib of the wheels under an environment's root. */
function pythonFolders(root: string): string[] {
  return matching(join(root, 'lib'), /^python3/).flatMap((python) =>
    ['site-packages', 'dist-packages'].flatMap((packages) =>
      matching(join(python, packages, 'nvidia'), /./).map((wheel) => join(wheel, 'lib')),
    ),
  );
}

function matching(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .reverse()
    .map((name) => join(folder, name));
}
