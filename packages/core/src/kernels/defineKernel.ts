/**
 * A kernel of the sparse path: named, typed inputs, attributes and outputs, checked once at every call; a composition of stock
 * tfjs ops that runs on any backend; and implementations that backends provide for what they cover.
 */
import { didYouMean, msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';

/** A dimension: a number, a letter that has one value throughout a call (`N`), or a letter and one (`N+1`). */
export type Dim = number | string;

/** The dtype and shape of an input or output. */
export interface TensorSpec {
  readonly dtype: 'float32' | 'int32';
  /** `any`: every shape, and (as the only input) any number of tensors under any name. */
  readonly shape: readonly Dim[] | 'any';
  readonly optional?: true;
}

export const f32 = (...shape: Dim[]): TensorSpec => ({ dtype: 'float32', shape });
export const i32 = (...shape: Dim[]): TensorSpec => ({ dtype: 'int32', shape });
export const optional = (spec: TensorSpec): TensorSpec => ({ ...spec, optional: true });

/** What an attribute may be: checked at every call. */
export type AttributeCheck = (value: unknown) => boolean;

/** Named tensors; an optional one may be `undefined`. */
type Tensors<T> = { readonly [K in keyof T]: tf.Tensor | undefined };
/** The same names, as a backend's implementation meets them. */
export type Infos<T> = {
  readonly [K in keyof T]: undefined extends T[K] ? tf.TensorInfo | undefined : tf.TensorInfo;
};

/** The tensors behind descriptions: what tfjs hands to a kernel are the tensors themselves, for those that work with ops. */
export function tensorsOf<I>(infos: Infos<I>): I {
  return untyped(infos);
}

/** tfjs types what goes through its registry as maps of anything; this is the one place where the kernel's own types come back. */
function untyped<T>(value: unknown): T {
  return value as T;
}

/** What a backend provides. It returns its outputs by name; optional ones may be left out. */
export type Implementation<I, A, O> = (
  inputs: Infos<I>,
  attrs: A,
  backend: tf.KernelBackend,
) => Infos<O> | { readonly [K in keyof O]: tf.TensorInfo };

export interface KernelDefinition<I extends Tensors<I>, A extends object, O extends Tensors<O>> {
  /** As tfjs registers it. */
  readonly name: string;
  readonly inputs: { readonly [K in keyof I]-?: TensorSpec } | 'any';
  readonly attrs: { readonly [K in keyof A]-?: AttributeCheck };
  readonly outputs: { readonly [K in keyof O]-?: TensorSpec };
  /** From stock ops, right on every backend. It may be called inside a tidy and must leave nothing else behind. */
  readonly composed: (inputs: I, attrs: A) => O;
  /** Plain TypeScript for tfjs's `cpu` backend; registered at the first call there. */
  readonly cpu?: Implementation<I, A, O>;
}

export interface Kernel<I extends Tensors<I>, A extends object, O extends Tensors<O>> {
  readonly name: string;
  /** Checks the call and runs it: by the current backend's own implementation where that covers it, else composed. */
  run(inputs: I, attrs: A): O;
  /** The composition, whatever the backend has. */
  composed(inputs: I, attrs: A): O;
  /** Gives a backend an implementation, in place of any before; `covers` says which calls it can do (default: all). */
  provide(
    backend: string,
    implementation: Implementation<I, A, O>,
    options?: { readonly covers?: (attrs: A, inputs: Infos<I>) => boolean },
  ): void;
  /** The implementation of a backend, with what it covers: for one that delegates a part of its calls. */
  provided(backend: string): ProvidedKernel<I, A, O> | undefined;
  /** Has the current backend an implementation of its own? With `attrs`: one that covers such calls. */
  isOwn(attrs?: A): boolean;
}

export interface ProvidedKernel<I, A, O> {
  readonly run: Implementation<I, A, O>;
  readonly covers: (attrs: A, inputs: Infos<I>) => boolean;
}

const kernels: Pick<Kernel<never, never, never>, 'name' | 'isOwn'>[] = [];

/** Names of the kernels that the current backend runs in code of its own. */
export function ownKernels(): string[] {
  return kernels.filter((kernel) => kernel.isOwn()).map(({ name }) => name);
}

/** Defines a kernel; its types come from the three interfaces, its checks from the specs, which must name the same things. */
export function defineKernel<I extends Tensors<I>, A extends object, O extends Tensors<O>>(
  definition: KernelDefinition<I, A, O>,
): Kernel<I, A, O> {
  const { name, composed } = definition;
  const providers = new Map<string, ProvidedKernel<I, A, O>>();
  const checks = checksOf(definition.inputs, definition.attrs);
  const outputNames = Object.keys(definition.outputs) as (keyof O & string)[];
  /** Which outputs the call in progress has; tfjs itself knows only their order. */
  let present: (keyof O & string)[] = [];

  const kernel: Kernel<I, A, O> = {
    name,
    composed: (inputs, attrs) => composed(checkedInputs(name, checks, inputs, attrs), attrs),
    provide(backend, run, { covers = () => true } = {}) {
      providers.set(backend, { run, covers });
      if (tf.getKernel(name, backend) !== undefined) tf.unregisterKernel(name, backend);
      tf.registerKernel({
        kernelName: name,
        backendName: backend,
        kernelFunc: ({ inputs, attrs, backend: instance }) => {
          const made = providers
            .get(backend)!
            .run(inputs as Infos<I>, untyped<A>(attrs), instance as tf.KernelBackend) as Record<
            string,
            tf.TensorInfo | undefined
          >;
          present = outputNames.filter((output) => made[output] !== undefined);
          return present.map((output) => made[output]!);
        },
      });
    },
    provided: (backend) => providers.get(backend),
    isOwn(attrs) {
      const provider = providerOf(tf.getBackend());
      return provider !== undefined && (attrs === undefined || provider.covers(attrs, {} as Infos<I>));
    },
    run(inputs, attrs) {
      const given = checkedInputs(name, checks, inputs, attrs);
      const provider = providerOf(tf.getBackend());
      if (provider === undefined || !provider.covers(attrs, untyped<Infos<I>>(given)))
        return composed(given, attrs);
      const out = tf
        .engine()
        .runKernel(name, untyped<tf.NamedTensorMap>(given), untyped<tf.NamedAttrMap>(attrs)) as
        | tf.Tensor
        | tf.Tensor[];
      const tensors = Array.isArray(out) ? out : [out];
      return Object.fromEntries(present.map((output, i) => [output, tensors[i]])) as O;
    },
  };
  const providerOf = (backend: string): ProvidedKernel<I, A, O> | undefined => {
    if (backend === 'cpu' && definition.cpu !== undefined && !providers.has('cpu'))
      kernel.provide('cpu', definition.cpu);
    return providers.get(backend);
  };
  kernels.push(kernel);
  return kernel;
}

/** A definition in the form that a call is checked by: no name is looked up twice. */
interface Checks {
  readonly specs: readonly {
    readonly name: string;
    readonly spec: TensorSpec;
    readonly dims: readonly ParsedDim[] | null;
  }[];
  readonly known: ReadonlySet<string> | null;
  readonly attrs: readonly (readonly [string, AttributeCheck])[];
  readonly knownAttrs: ReadonlySet<string>;
  /** Values of the letters in the call that is being checked; 0: not met yet. */
  readonly sizes: Int32Array;
}

/** A number, or a letter (by its place in `sizes`) and what is added to it. */
interface ParsedDim {
  readonly letter: number;
  readonly add: number;
}

function checksOf(inputs: object | 'any', attrs: object): Checks {
  const letters: string[] = [];
  const parsed = (dim: Dim): ParsedDim => {
    if (typeof dim === 'number') return { letter: -1, add: dim };
    const add = dim.endsWith('+1') ? 1 : 0;
    const name = add === 1 ? dim.slice(0, -2) : dim;
    const at = letters.indexOf(name);
    return { letter: at >= 0 ? at : letters.push(name) - 1, add };
  };
  const entries = inputs === 'any' ? [] : (Object.entries(inputs) as [string, TensorSpec][]);
  const specs = entries.map(([name, spec]) => ({
    name,
    spec,
    dims: spec.shape === 'any' ? null : spec.shape.map(parsed),
  }));
  const checks = Object.entries(attrs) as [string, AttributeCheck][];
  return {
    specs,
    known: inputs === 'any' ? null : new Set(entries.map(([name]) => name)),
    attrs: checks,
    knownAttrs: new Set(checks.map(([name]) => name)),
    sizes: new Int32Array(letters.length),
  };
}

/** The inputs that are there. @throws MsaeError `shape` or `option` for a call that does not fit the definition */
function checkedInputs<I>(kernel: string, checks: Checks, inputs: I, attrs: object): I {
  const { specs, known, sizes, knownAttrs } = checks;
  const given: Record<string, tf.Tensor> = {};
  const all = inputs as Record<string, tf.Tensor | undefined>;
  for (const name in all) {
    if (known !== null && !known.has(name)) {
      throw msaeError('option', `${kernel}: there is no input ${name}${didYouMean(name, known)}`);
    }
    const tensor = all[name];
    if (tensor !== undefined) given[name] = tensor;
  }
  sizes.fill(-1);
  for (const { name, spec, dims } of specs) {
    const tensor = given[name];
    if (tensor !== undefined) checkInput(kernel, name, tensor, spec, dims, sizes);
    else if (!spec.optional) throw msaeError('shape', `${kernel}: the input ${name} is missing`);
  }
  for (const name in attrs) {
    if (!knownAttrs.has(name)) {
      throw msaeError('option', `${kernel}: there is no attribute ${name}${didYouMean(name, knownAttrs)}`);
    }
  }
  for (const [name, ok] of checks.attrs) {
    const value = (attrs as Record<string, unknown>)[name];
    if (!ok(value))
      throw msaeError('option', `${kernel}: the attribute ${name} cannot be ${JSON.stringify(value)}`);
  }
  return untyped<I>(given);
}

function checkInput(
  kernel: string,
  name: string,
  tensor: tf.Tensor,
  spec: TensorSpec,
  dims: readonly ParsedDim[] | null,
  sizes: Int32Array,
): void {
  if (tensor.dtype !== spec.dtype) {
    throw msaeError('shape', `${kernel}: ${name}: expected ${spec.dtype}, got ${tensor.dtype}`);
  }
  if (dims === null) return;
  let fits = tensor.shape.length === dims.length;
  for (let axis = 0; fits && axis < dims.length; axis++) {
    const { letter, add } = dims[axis]!;
    const size = tensor.shape[axis]! - (letter < 0 ? 0 : add);
    if (letter < 0) fits = size === add;
    else if (sizes[letter] === -1) sizes[letter] = size;
    else fits = sizes[letter] === size;
  }
  if (fits) return;
  const says = (spec.shape as readonly Dim[]).map((dim, axis) => {
    const { letter, add } = dims[axis]!;
    return letter < 0 || sizes[letter] === -1 ? dim : `${dim} = ${sizes[letter]! + add}`;
  });
  throw msaeError(
    'shape',
    `${kernel}: ${name}: expected shape [${says.join(', ')}], got [${tensor.shape.join(', ')}]`,
  );
}

/** Attribute checks. */
export const isNumber: AttributeCheck = (value) => typeof value === 'number' && !Number.isNaN(value);
export const isCount: AttributeCheck = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
export const isFlag: AttributeCheck = (value) => typeof value === 'boolean';
export const oneOf =
  (...values: readonly string[]): AttributeCheck =>
  (value) =>
    values.includes(value as string);
