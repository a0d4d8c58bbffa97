/** EmbedLayerNormalization of onnxruntime: token, position and segment embeddings, their sum, and its norm, in one node. */
import type { onnx } from 'onnx-proto';
import { attributeNumber, intAttribute, makeNode, type Node } from '../nodes.ts';
import type { Draft } from './normalise.ts';
import { normAttributes } from './skipNorms.ts';

export function withEmbeddingsExpanded(draft: Draft): void {
  draft.nodes = draft.nodes.flatMap((node) =>
    node.opType === 'EmbedLayerNormalization' ? expanded(node, draft) : [node],
  );
}

function expanded(node: Node, draft: Draft): Node[] {
  const [ids, segments, words, positions, segmentTable, gain, offset, mask, positionIds] = node.input;
  const [normed, maskIndex, sum] = node.output;
  const at = (part: string) => `${normed}::${part}`;
  const constant = (part: string, values: number[], dims: number[]): string => {
    draft.initializers.push({ name: at(part), dataType: int64, dims, int64Data: values });
    return at(part);
  };
  const made = [makeNode('Gather', [words!, ids!], [at('words')])];
  let where = positionIds;
  if (!where) {
    made.push(
      makeNode('Shape', [ids!], [at('shape')]),
      makeNode('Gather', [at('shape'), constant('axis', [1], [])], [at('length')]),
      makeNode(
        'Range',
        [constant('first', [0], []), at('length'), constant('step', [1], [])],
        [at('positions')],
      ),
    );
    where = at('positions');
  }
  made.push(makeNode('Gather', [positions!, where], [at('position')]));
  const total = sum || at('sum');
  if (segments && segmentTable) {
    made.push(
      makeNode('Add', [at('words'), at('position')], [at('placed')]),
      makeNode('Gather', [segmentTable, segments], [at('segment')]),
      makeNode('Add', [at('placed'), at('segment')], [total]),
    );
  } else made.push(makeNode('Add', [at('words'), at('position')], [total]));
  const epsilon = attributeNumber(node, 'epsilon') ?? 1e-12;
  made.push(makeNode('LayerNormalization', [total, gain!, offset!], [normed!], normAttributes(epsilon)));
  if (maskIndex) made.push(...maskCount(mask, ids!, maskIndex, at, constant));
  return made;
}

/** `TensorProto.DataType`. */
const [int32, int64] = [6, 7];

/** [batch] int32: how many tokens the mask leaves; zeros without a mask. */
function maskCount(
  mask: string | undefined,
  ids: string,
  output: string,
  at: (part: string) => string,
  constant: (part: string, values: number[], dims: number[]) => string,
): Node[] {
  const toInt32: onnx.IAttributeProto[] = [intAttribute('to', int32)];
  const counted = makeNode(
    'ReduceSum',
    [at('mask'), constant('axes', [1], [1])],
    [output],
    [intAttribute('keepdims', 0)],
  );
  if (mask) return [makeNode('Cast', [mask], [at('mask')], toInt32), counted];
  return [
    makeNode('Sub', [ids, ids], [at('zeros')]),
    makeNode('Cast', [at('zeros')], [at('mask')], toInt32),
    counted,
  ];
}
