/** What is known about every token of Brown without asking anyone: its word's part of speech and first letter. */
import type { LabelSet } from '@msae/eval';
import { type BrownTokens, brownLabels, universalTag } from '@msae/lab/node';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

export function labelSets(documents: readonly BrownTokens[]): LabelSet[] {
  const tags = brownLabels(documents, universalTag);
  const byId = new Map(documents.map((document) => [document.id, document]));
  const where = (batch: { docIds?: Int32Array; positions?: Int32Array }) => {
    if (!batch.docIds || !batch.positions)
      throw new Error('the store of activations has no document ids and positions');
    return { docIds: batch.docIds, positions: batch.positions };
  };
  return [
    { name: 'part of speech', names: tags.names, labelsOf: (batch) => tags.of(where(batch)) },
    {
      name: 'first letter',
      names: [...LETTERS],
      labelsOf: (batch) => {
        const { docIds, positions } = where(batch);
        return Int32Array.from(docIds, (id, row) => firstLetter(byId.get(id)!, positions[row]!));
      },
    },
  ];
}

/** Of the word that begins with this token; -1 inside words and for what is no letter. */
function firstLetter({ wordOf, document }: BrownTokens, position: number): number {
  const word = wordOf[position]!;
  if (word < 0 || wordOf[position - 1] === word) return -1;
  return LETTERS.indexOf(document.words[word]![0]!.toLowerCase());
}
