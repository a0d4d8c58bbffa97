/**
 * WGSL programs with several outputs beside tfjs: a program is its text and the names of its bindings; a recorder puts
 * dispatches into one command buffer that is submitted behind what tfjs has recorded so far. Storage buffers come first,
 * in the order given, then one uniform block of 4-byte fields. At most 7 storage buffers: within every device's limit.
 */
import type { DataId, DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';

/** The public members of tfjs's WebGPUBackend that are needed here. */
export interface GpuBackend {
  readonly device: GPUDevice;
  readonly queue: GPUQueue;
  readonly tensorMap: { get(id: DataId): { resource?: unknown; values?: unknown } };
  makeTensorInfo(shape: number[], dtype: DataType): TensorInfo;
  uploadToGPU(id: DataId): void;
  disposeData(id: DataId): boolean;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** The backend that a kernel runs on, as tfjs's own WebGPUBackend has it. */
export function gpuBackend(backend: KernelBackend): GpuBackend {
  return backend as unknown as GpuBackend;
}

type Access = 'read' | 'write';

/** A compute program. `code` has the whole text but the binding declarations; everything baked into it shows in `key`. */
export interface Program {
  readonly key: string;
  /** Name, access and element type of each storage buffer. */
  readonly storage: readonly (readonly [name: string, access: Access, type: 'f32' | 'i32' | 'u32'])[];
  /** Fields of the uniform block `u`. */
  readonly uniforms: readonly (readonly [name: string, type: 'f32' | 'i32' | 'u32'])[];
  readonly code: string;
}

/** Counts dispatches, for the test that keeps a step within its budget. */
export const dispatchCount = { total: 0 };

/** The workgroups of a one-dimensional job, folded where a device allows 65,535 in a row; WGSL: `groupIndex(wid, nwg)`. */
export function grid(groups: number): [number, number, number] {
  const x = Math.min(groups, 32768);
  return [x, Math.ceil(groups / x), 1];
}

/** Records dispatches; nothing runs before `submit`. */
export interface Recorder {
  dispatch(
    program: Program,
    buffers: readonly GPUBuffer[],
    uniforms: readonly number[],
    groups: readonly [number, number, number],
  ): void;
  clear(buffer: GPUBuffer): void;
  copy(from: GPUBuffer, to: GPUBuffer, offsetFloats: number, floats: number): void;
  submit(): void;
}

/**
 * The buffer of a tensor, uploaded where it was still on the CPU. The upload goes through tfjs's own encoder: ask for every
 * input's buffer before `record`, which submits that encoder.
 */
export function bufferOf(backend: GpuBackend, tensor: TensorInfo): GPUBuffer {
  backend.uploadToGPU(tensor.dataId);
  return backend.tensorMap.get(tensor.dataId).resource as GPUBuffer;
}

export interface NewTensor {
  readonly info: TensorInfo;
  readonly buffer: GPUBuffer;
}

/** A new tensor with memory on the device, and its buffer. */
export function newTensor(backend: GpuBackend, shape: number[], dtype: DataType = 'float32'): NewTensor {
  const info = backend.makeTensorInfo(shape, dtype);
  return { info, buffer: bufferOf(backend, info) };
}

/** The number of a tensor's elements. */
export function sizeOf({ shape }: TensorInfo): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Says that a kernel has changed a tensor in place: the CPU's copy of it is stale. */
export function changedInPlace(backend: GpuBackend, tensor: TensorInfo): void {
  backend.tensorMap.get(tensor.dataId).values = null;
}

/** Starts a recorder. Scratch tensors may be disposed after `submit`: reuse is ordered by the queue. */
export function record(backend: GpuBackend): Recorder {
  const { device, queue } = backend;
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  const encoder = device.createCommandEncoder();
  const uniformBuffers: GPUBuffer[] = [];
  return {
    dispatch(program, buffers, uniforms, groups): void {
      const { pipeline, layout } = pipelineOf(device, program);
      const uniform = uniformBuffer(device, program, uniforms);
      uniformBuffers.push(uniform);
      const entries = [...buffers, uniform].map((buffer, binding) => ({ binding, resource: { buffer } }));
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
      pass.dispatchWorkgroups(...groups);
      pass.end();
      dispatchCount.total++;
    },
    clear: (buffer) => encoder.clearBuffer(buffer),
    copy: (from, to, offset, floats) => encoder.copyBufferToBuffer(from, 0, to, 4 * offset, 4 * floats),
    submit(): void {
      queue.submit([encoder.finish()]);
      for (const buffer of uniformBuffers) buffer.destroy();
    },
  };
}

interface Compiled {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

const pipelines = new WeakMap<GPUDevice, Map<string, Compiled>>();

function pipelineOf(device: GPUDevice, program: Program): Compiled {
  let known = pipelines.get(device);
  if (!known) {
    known = new Map();
    pipelines.set(device, known);
  }
  const found = known.get(program.key);
  if (found) return found;
  const { storage, uniforms, key } = program;
  const declarations = storage.map(([name, access, type], binding) => {
    const mode = access === 'read' ? 'read' : 'read_write';
    return `@group(0) @binding(${binding}) var<storage, ${mode}> ${name}: array<${type}>;`;
  });
  const fields = uniforms.map(([name, type]) => `${name}: ${type}`).join(', ');
  const text = `${declarations.join('\n')}
struct Uniforms { ${fields} };
@group(0) @binding(${storage.length}) var<uniform> u: Uniforms;
fn groupIndex(wid: vec3<u32>, nwg: vec3<u32>) -> u32 { return wid.x + wid.y * nwg.x; }
${program.code}`;
  const layout = device.createBindGroupLayout({
    entries: [
      ...storage.map(([, access], binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: access === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
      })),
      { binding: storage.length, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' as const } },
    ],
  });
  const pipeline = device.createComputePipeline({
    label: key,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module: device.createShaderModule({ label: key, code: text }), entryPoint: 'main' },
  });
  const compiled = { pipeline, layout };
  known.set(key, compiled);
  return compiled;
}

function uniformBuffer(device: GPUDevice, { uniforms }: Program, values: readonly number[]): GPUBuffer {
  const size = Math.ceil(Math.max(1, uniforms.length) / 4) * 16;
  const buffer = device.createBuffer({ size, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
  const view = new DataView(buffer.getMappedRange());
  uniforms.forEach(([, type], i) => {
    if (type === 'f32') view.setFloat32(4 * i, values[i]!, true);
    else if (type === 'i32') view.setInt32(4 * i, values[i]!, true);
    else view.setUint32(4 * i, values[i]!, true);
  });
  buffer.unmap();
  return buffer;
}
