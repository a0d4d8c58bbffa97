/** Puts TensorFlow's libraries and C headers where the addon is compiled and later looks for them: `deps/` of tfjs-node. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, realpath, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { glibcVersion } from './machine.ts';
import { extractWheel, readWheel, type Wheel } from './wheel.ts';

/** The two names under which the library ships: in Python wheels, and in the C distribution. */
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow.so.2'];
export const FRAMEWORK = 'libtensorflow_framework.so.2';
const HEADERS =
  /^tensorflow\/(include\/(?:tensorflow\/c|tensorflow\/core\/platform|tsl\/platform|xla\/tsl)\/.+\.h)$/;

/** Reads the wheel at `path` and makes sure that its library can run on this machine. */
export async function readTensorflowWheel(path: string): Promise<Wheel> {
  const wheel = await readWheel(path);
  if (!wheel.entries.has(`tensorflow/${LIBRARIES[0]}`) || !wheel.entries.has(`tensorflow/${FRAMEWORK}`)) {
    throw new Error(
      `${path}: ${wheel.name} ${wheel.version} contains no tensorflow/${LIBRARIES[0]}; a Linux wheel of tensorflow or tensorflow-cpu 2.15 or later was expected.`,
    );
  }
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const tag = /manylinux_(\d+)_(\d+)_([a-z0-9_]+)\.whl$/.exec(path);
  if (tag && tag[3] !== machine)
    throw new Error(`${path}: it is built for ${tag[3]}, this machine is ${machine}.`);
  const [major, minor] = glibcVersion() ?? [0, 0];
  if (tag && (Number(tag[1]) > major || (Number(tag[1]) === major && Number(tag[2]) > minor))) {
    throw new Error(
      `${path}: it needs glibc ${tag[1]}.${tag[2]}, this machine has ${major}.${minor}; take an older TensorFlow.`,
    );
  }
  return wheel;
}

/** Bytes that {@link placeWheel} will write. */
export function unpackedBytes(wheel: Wheel): number {
  let bytes = 0;
  for (const entry of wheel.entries.values()) if (placeInDeps(entry.name)) bytes += entry.size;
  return bytes;
}

/** Unpacks the wheel's libraries and headers, and the libraries of nvidia wheels lying beside it when `gpu`. */
export async function placeWheel(
  wheel: Wheel,
  packageDir: string,
  gpu: boolean,
  signal?: AbortSignal,
): Promise<void> {
  const deps = join(packageDir, 'deps');
  await extractWheel(wheel, deps, placeInDeps, signal);
  if (!gpu) return;
  const folder = dirname(wheel.path);
  for (const name of await readdir(folder)) {
    if (!/^nvidia[_-].*\.whl$/.test(name)) continue;
    const nvidia = await readWheel(join(folder, name));
    // libtensorflow looks for them in ../nvidia/*/lib of its own folder.
    await extractWheel(
      nvidia,
      deps,
      (entry) => (/^nvidia\/[^/]+\/lib\/.+\.so[.\d]*$/.test(entry) ? entry : undefined),
      signal,
    );
  }
}

/** Links `deps` to an installed TensorFlow: site-packages/tensorflow, or an unpacked C distribution. */
export async function placeFolder(folder: string, packageDir: string): Promise<void> {
  const { lib, include } = await findTensorflow(folder);
  await mkdir(join(packageDir, 'deps'), { recursive: true });
  await symlink(lib, join(packageDir, 'deps', 'lib'));
  await symlink(include, join(packageDir, 'deps', 'include'));
}

/** Folders of the libraries and of the headers in `folder`. @throws when they are not both there. */
export async function findTensorflow(folder: string): Promise<{ lib: string; include: string }> {
  for (const root of [folder, join(folder, 'tensorflow')]) {
    const lib = [root, join(root, 'lib')].find(
      (path) => existsSync(join(path, FRAMEWORK)) && libraryName(path),
    );
    const include = join(root, 'include');
    if (lib && existsSync(join(include, 'tensorflow', 'c', 'c_api.h'))) {
      return { lib: await realpath(lib), include: await realpath(include) };
    }
  }
  throw new Error(
    `${folder}: neither ${LIBRARIES.join(' nor ')} with ${FRAMEWORK} and include/tensorflow/c/c_api.h was found; the folder of an installed tensorflow (site-packages/tensorflow) or of an unpacked libtensorflow was expected.`,
  );
}

/** The file name of the main library in `folder`. */
export function libraryName(folder: string): string | undefined {
  return LIBRARIES.find((name) => existsSync(join(folder, name)));
}

function placeInDeps(name: string): string | undefined {
  if (name === `tensorflow/${LIBRARIES[0]}` || name === `tensorflow/${FRAMEWORK}`)
    return name.replace('tensorflow/', 'lib/');
  return HEADERS.exec(name)?.[1];
}
