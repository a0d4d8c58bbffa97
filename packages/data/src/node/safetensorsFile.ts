import type { OpenOptions } from '../options.ts';
import { readSafetensors, type Safetensors } from '../safetensors.ts';
import { type TensorToWrite, type WriteSafetensorsOptions, writeSafetensors } from '../safetensorsWrite.ts';
import { writeFileAtomic } from './atomicFile.ts';
import { openFile } from './fileSource.ts';

/** Writes a safetensors file in full or not at all; see `writeSafetensors` for how tensors are given. */
export async function writeSafetensorsFile(
  path: string,
  tensors: readonly TensorToWrite[],
  options: WriteSafetensorsOptions = {},
): Promise<void> {
  await writeFileAtomic(path, async (sink) => {
    await writeSafetensors(sink, tensors, options);
  });
}

/** Opens a safetensors file on disk. Close it when done. */
export async function openSafetensorsFile(path: string, options: OpenOptions = {}): Promise<Safetensors> {
  const source = await openFile(path);
  try {
    return await readSafetensors(source, options);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}
