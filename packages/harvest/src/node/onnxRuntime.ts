/** onnxruntime-node, loaded when it is needed. */
import { msaeError } from '@msae/schema';
import type { OnnxRuntime } from '../runtime.ts';

/** @throws when onnxruntime-node is not installed, or has no binary for this machine */
export async function loadOnnxRuntime(): Promise<OnnxRuntime> {
  try {
    return await import('onnxruntime-node');
  } catch (cause) {
    throw msaeError(
      'missing',
      `onnxruntime-node does not load: ${(cause as Error).message}; run npm install onnxruntime-node (ONNXRUNTIME_NODE_INSTALL=skip before it, where its install script cannot reach api.nuget.org: only a GPU package comes from there), or pass \`runtime\``,
      { cause },
    );
  }
}
