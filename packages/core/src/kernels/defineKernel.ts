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
  const outputNames = Object.keys(definition.outputs) as (keyof O & string)[];
  /** Which outputs the call in progress has; tfjs itself knows only their order. */
  let present: (keyof O & string)[] = [];

  const kernel: Kernel<I, A, O> = {
    name,
    composed: (inputs, attrs) => composed(checkedInputs(definition, inputs, attrs), attrs),
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
      const given = checkedInputs(definition, inputs, attrs);
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

/** The inputs that are there. @throws MsaeError `shape` or `option` for a call that does not fit the definition */
function checkedInputs<I extends Tensors<I>, A extends object, O extends Tensors<O>>(
  { name, inputs: specs, attrs: checks }: KernelDefinition<I, A, O>,
  inputs: I,
  attrs: A,
): I {
  const given: Record<string, tf.Tensor> = {};
  const sizes = new Map<string, number>();
  for (const [input, tensor] of Object.entries(inputs) as [string, tf.Tensor | undefined][]) {
    if (specs !== 'any' && !(input in specs)) {
      throw msaeError(
        'option',
        `${name}: there is no input ${input}${didYouMean(input, Object.keys(specs))}`,
      );
    }
    if (tensor !== undefined) given[input] = tensor;
  }
  if (specs !== 'any') {
    for (const [input, spec] of Object.entries(specs) as [string, TensorSpec][]) {
      const tensor = given[input];
      if (tensor !== undefined) checkInput(`${name}: ${input}`, tensor, spec, sizes);
      else if (!spec.optional) throw msaeError('shape', `${name}: the input ${input} is missing`);
    }
  }
  for (const attribute of Object.keys(attrs)) {
    if (!(attribute in checks)) {
      throw msaeError(
        'option',
        `${name}: there is no attribute ${attribute}${didYouMean(attribute, Object.keys(checks))}`,
      );
    }
  }
  for (const [attribute, ok] of Object.entries(checks) as [string, AttributeCheck][]) {
    const value = (attrs as Record<string, unknown>)[attribute];
    if (!ok(value))
      throw msaeError('option', `${name}: the attribute ${attribute} cannot be ${JSON.stringify(value)}`);
  }
  return untyped<I>(given);
}

function checkInput(what: string, tensor: tf.Tensor, spec: TensorSpec, sizes: Map<string, number>): void {
  const { shape } = spec;
  if (tensor.dtype !== spec.dtype)
    throw msaeError('shape', `${what}: expected ${spec.dtype}, got ${tensor.dtype}`);
  if (shape === 'any') return;
  const fits =
    tensor.shape.length === shape.length &&
    shape.every((dim, axis) => matches(dim, tensor.shape[axis]!, sizes));
  if (fits) return;
  const known = shape.map((dim) =>
    typeof dim === 'string' && sizes.has(dim) ? `${dim} = ${sizes.get(dim)}` : dim,
  );
  throw msaeError('shape', `${what}: expected shape [${known.join(', ')}], got [${tensor.shape.join(', ')}]`);
}

function matches(dim: Dim, size: number, sizes: Map<string, number>): boolean {
  if (typeof dim === 'number') return dim === size;
  const plusOne = dim.endsWith('+1');
  const letter = plusOne ? dim.slice(0, -2) : dim;
  const value = plusOne ? size - 1 : size;
  const known = sizes.get(letter);
  if (known === undefined) sizes.set(letter, value);
  return known === undefined || known === value;
}

/** Attribute checks. */
export const isNumber: AttributeCheck = (value) => typeof value === 'number' && !Number.isNaN(value);
export const isCount: AttributeCheck = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
export const isFlag: AttributeCheck = (value) => typeof value === 'boolean';
export const oneOf =
  (...values: readonly string[]): AttributeCheck =>
  (value) =>
    values.includes(value as string);
