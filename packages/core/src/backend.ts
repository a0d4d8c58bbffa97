/** What a backend package says of the backend it has registered; printed by `msae doctor`. Core itself knows no backend. */
export interface BackendDescription {
  readonly name: 'cpu' | 'wasm' | 'webgpu' | 'tensorflow';
  /** For people: the adapter, the library's version, the processor. */
  readonly device: string;
  readonly precision: 'float32';
  readonly threads: number;
  readonly limits: {
    /** The largest single tensor. */
    readonly maxTensorBytes?: number;
    /** All tensors together. */
    readonly maxMemoryBytes?: number;
  };
  /** The kernels of the sparse contract that run in code of their own here; the others are composed from stock ops. */
  readonly kernels: readonly string[];
}
