/** Reads fixtures in a page, and runs models that were opened from them. */
import type * as ort from 'onnxruntime-web';
import type { WeightsModel } from '../../src/index.ts';

type Runtime = Pick<typeof ort, 'Tensor'>;
type Tensor = ort.Tensor;

const base = new URL('./fixtures/types.gguf', import.meta.url).href;
export const at = (file: string): URL => new URL(file, base);
export async function bytesOf(file: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(at(file))).arrayBuffer());
}

/** A tensor of a safetensors file, read by hand: ids are int64, the rest float32. */
export async function expectedOf(
  file: string,
): Promise<(name: string) => { ids: number[]; values: Float32Array }> {
  const bytes = await bytesOf(file);
  const header = new DataView(bytes.buffer).getUint32(0, true);
  const entries = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + header)));
  const part = (name: string): ArrayBuffer => {
    const [from, to] = entries[name].data_offsets as [number, number];
    return bytes.slice(8 + header + from, 8 + header + to).buffer as ArrayBuffer;
  };
  const ids = Array.from(new BigInt64Array(part('ids')), Number);
  return (name) => ({ ids, values: new Float32Array(part(name)) });
}

const int64 = (ort: Runtime, values: number[], shape: number[]) =>
  new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);

/** Runs the first context, which has no padding, in two cached steps; the largest difference of the logits. */
export async function differenceOfSteps(
  ort: Runtime,
  model: WeightsModel,
  ids: number[],
  wanted: Float32Array,
): Promise<number> {
  const { layers, keyHeads, headWidth } = model.architecture;
  const names = Array.from({ length: layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
  const { session } = await model.session(['logits', ...names.map((name) => `present.${name}`)]);
  const empty = new ort.Tensor('float32', new Float32Array(0), [1, keyHeads, 0, headWidth]);
  let past: Record<string, Tensor> = Object.fromEntries(
    names.map((name) => [`past_key_values.${name}`, empty]),
  );
  let largest = 0;
  let at = 0;
  for (const [from, to] of [
    [0, 4],
    [4, 7],
  ] as const) {
    const places = Array.from({ length: to - from }, (_, i) => from + i);
    const outputs = await session.run({
      ...past,
      input_ids: int64(ort, ids.slice(from, to), [1, to - from]),
      attention_mask: int64(ort, Array<number>(to).fill(1), [1, to]),
      position_ids: int64(ort, places, [1, to - from]),
    });
    for (const value of outputs.logits!.data as Float32Array) {
      largest = Math.max(largest, Math.abs(value - wanted[at]!));
      at += 1;
    }
    past = Object.fromEntries(
      names.map((name) => [`past_key_values.${name}`, outputs[`present.${name}`] as Tensor]),
    );
  }
  await session.release();
  return largest;
}
