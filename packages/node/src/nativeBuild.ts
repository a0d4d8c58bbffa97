/**
 * Where `msae setup-native` puts a libtensorflow build and how it is found again: one folder for each variant with a
 * manifest that is written last, so that a build without a manifest does not exist for anybody.
 *
 * The folder is the user's cache, not the project: the build is 1 GB and serves every project, survives
 * `npm ci`, and takes the engine (tfjs-core) of whoever loads it. `MSAE_NATIVE_DIR` moves it.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** `cpu` is built on tfjs-node, `gpu` on tfjs-node-gpu with a CUDA libtensorflow. */
export type NativeVariant = 'cpu' | 'gpu';

export interface NativeManifest {
  readonly format: 1;
  readonly variant: NativeVariant;
  /** Folder of the tfjs-node package, relative to the build's folder. */
  readonly package: string;
  readonly tfjsNode: string;
  readonly tensorflow: string;
  readonly platform: string;
  readonly arch: string;
  /** What it was built from, e.g. `pip tensorflow-cpu==2.21.*` or a wheel's SHA-256. */
  readonly source: string;
}

export interface NativeBuild {
  readonly manifest: NativeManifest;
  /** Absolute folder of the tfjs-node package. */
  readonly packageDir: string;
}

export const MANIFEST_NAME = 'msae-native.json';

/** `MSAE_NATIVE_DIR`, or `msae/native` in the user's cache folder. */
export function nativeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env['MSAE_NATIVE_DIR']) return env['MSAE_NATIVE_DIR'];
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'msae', 'native');
  if (process.platform === 'win32') {
    return join(env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'msae', 'native');
  }
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'msae', 'native');
}

/** The finished build of `variant` for this platform in `directory`, or `undefined`. */
export function findNativeBuild(
  variant: NativeVariant,
  directory: string = nativeDirectory(),
): NativeBuild | undefined {
  const folder = join(directory, variant);
  try {
    const manifest = JSON.parse(readFileSync(join(folder, MANIFEST_NAME), 'utf8')) as NativeManifest;
    const fits =
      manifest.format === 1 &&
      manifest.variant === variant &&
      manifest.platform === process.platform &&
      manifest.arch === process.arch;
    return fits ? { manifest, packageDir: join(folder, manifest.package) } : undefined;
  } catch {
    return undefined;
  }
}
