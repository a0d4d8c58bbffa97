/**
 * Adam as one TensorFlow op a parameter. ResourceApplyAdam works on resource variables, tfjs on plain handles: each tensor
 * gets a resource, and after the update the tfjs tensor reads it again. TensorFlow shares buffers by reference count, so
 * nothing is copied as long as the old handle is freed before the update.
 */
import type { AdamAttrs, AdamInputs, AdamOutputs, Implementation } from '@msae/core/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import {
  type Binding,
  type Handle,
  type OpAttr,
  type TensorflowBackend,
  tensorflowOf,
} from '../tensorflowOps.ts';

interface AdamTensors {
  param: Tensor;
  m: Tensor;
  v: Tensor;
  grad: Tensor;
  /** [1]: the gradient is multiplied by it */
  scale: Tensor;
}

/** The name that makes VarHandleOp create a variable of its own instead of one shared by name. */
const ANONYMOUS = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347';

interface Resource {
  readonly handle: Handle;
  /** The tensor's handle after the last update: another one means that the tensor was written to in between. */
  read: Handle;
}

/** Resources by the tensor's dataId, freed with it. */
const resources = new WeakMap<object, Resource>();
const abandoned = new FinalizationRegistry<{ binding: Binding; resource: Handle }>(
  ({ binding, resource }) => {
    binding.executeOp('DestroyResourceOp', [bool(binding, 'ignore_lookup_error', true)], [resource], 0);
    binding.deleteTensor(resource);
  },
);

/** MsaeAdam. */
export const adam: Implementation<AdamInputs, AdamAttrs, AdamOutputs> = (inputs, attrs, backend) => {
  adamInPlace(tensorflowOf(backend), inputs as AdamTensors, attrs);
  return {};
};

/** Updates param, m and v in place: param −= lr·(m̂/(√v̂ + ε) + weightDecay·param). */
function adamInPlace(backend: TensorflowBackend, tensors: AdamTensors, attrs: AdamAttrs): void {
  const { binding } = backend;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const made: Handle[] = [];
  const keep = (id: Handle): Handle => {
    made.push(id);
    return id;
  };
  const scalar = (value: number): Handle =>
    keep(binding.createTensor([], binding.TF_FLOAT, new Float32Array([value])));
  const float = type(binding, 'T');
  const multiply = (a: Handle, b: Handle): Handle =>
    keep(binding.executeOp('Mul', [float], [a, b], 1)[0]!.id);
  try {
    const [grad, scale] = backend.getInputTensorIds([tensors.grad, tensors.scale]) as [Handle, Handle];
    const scaled = multiply(grad, scale);
    const decay =
      weightDecay > 0
        ? multiply(backend.getInputTensorIds([tensors.param])[0]!, scalar(learningRate * weightDecay))
        : undefined;
    const targets = [tensors.param, tensors.m, tensors.v];
    const [param, m, v] = targets.map((tensor) => takeResource(backend, tensor)) as [Handle, Handle, Handle];
    try {
      if (decay !== undefined)
        binding.executeOp('AssignSubVariableOp', [type(binding, 'dtype')], [param, decay], 0);
      const correction = Math.sqrt(1 - beta2 ** step); // TensorFlow adds ε to √v, not to √v̂
      binding.executeOp(
        'ResourceApplyAdam',
        [float, bool(binding, 'use_locking', false), bool(binding, 'use_nesterov', false)],
        [
          ...[param, m, v, scalar(beta1 ** step), scalar(beta2 ** step), scalar(learningRate)],
          ...[scalar(beta1), scalar(beta2), scalar(epsilon * correction), scaled],
        ],
        0,
      );
    } finally {
      for (const [i, tensor] of targets.entries()) readBack(backend, tensor, [param, m, v][i]!);
    }
  } finally {
    for (const id of made) binding.deleteTensor(id);
  }
}

/** Moves the tensor's value into its resource and frees the tensor's own handle. */
function takeResource(backend: TensorflowBackend, tensor: Tensor): Handle {
  const { binding } = backend;
  const own = backend.getInputTensorIds([tensor])[0]!;
  let resource = resources.get(tensor.dataId);
  if (resource === undefined) {
    const attrs: OpAttr[] = [
      type(binding, 'dtype'),
      { name: 'shape', type: binding.TF_ATTR_SHAPE, value: tensor.shape },
      { name: 'container', type: binding.TF_ATTR_STRING, value: '' },
      { name: 'shared_name', type: binding.TF_ATTR_STRING, value: ANONYMOUS },
    ];
    resource = { handle: binding.executeOp('VarHandleOp', attrs, [], 1)[0]!.id, read: -1 };
    resources.set(tensor.dataId, resource);
    abandoned.register(tensor.dataId, { binding, resource: resource.handle });
  }
  const { handle, read } = resource;
  if (own !== read) binding.executeOp('AssignVariableOp', [type(binding, 'dtype')], [handle, own], 0);
  binding.deleteTensor(own);
  return handle;
}

function readBack(backend: TensorflowBackend, tensor: Tensor, resource: Handle): void {
  const output = backend.binding.executeOp(
    'ReadVariableOp',
    [type(backend.binding, 'dtype')],
    [resource],
    1,
  )[0]!;
  backend.tensorMap.get(tensor.dataId).id = output.id;
  resources.get(tensor.dataId)!.read = output.id;
}

function type(binding: Binding, name: string): OpAttr {
  return { name, type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
}

function bool(binding: Binding, name: string, value: boolean): OpAttr {
  return { name, type: binding.TF_ATTR_BOOL, value };
}
