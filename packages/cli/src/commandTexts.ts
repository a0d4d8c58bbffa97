/** What `--help` says of each command besides its options: a line for the list of commands, and examples (every one is parsed in the tests). */
export interface CommandText {
  readonly summary: string;
  readonly examples: readonly string[];
}

export const commandTexts: Readonly<Record<string, CommandText>> = {
  harvest: {
    summary: 'run a transformer over text and store its activations',
    examples: [
      'msae harvest --model ./model --list-taps',
      'msae harvest --model ./model --text corpus/ --layer 2 --out activations',
      'msae harvest --model ./model --brown --split train --layer 2 --max-tokens 300000 --out activations',
      'msae harvest --config harvest.json --out activations',
    ],
  },
  train: {
    summary: 'train an SAE on stored activations; resumable',
    examples: [
      'msae train activations --latents 2048 --k 24 --activation batchtopk --out run',
      'msae train activations --latents 2048 --activation relu --penalty log --target-l0 24 --out run',
      'msae train --config run.json --lr 0.0005 --out run',
      'msae train --resume --out run',
    ],
  },
  eval: {
    summary: 'measure an SAE: FVU by prefix, L0, dead latents, forest, CE recovered',
    examples: [
      'msae eval run/sae --data held-out',
      'msae eval run/sae --data held-out --model ./model --brown --out evaluation.json',
      'msae eval run/sae --data held-out --rows 20000 --json',
    ],
  },
  report: {
    summary: 'make one HTML page of evaluations',
    examples: [
      'msae report evaluation.json --out report.html',
      'msae report matryoshka.json vanilla.json --metrics run/metrics.jsonl --title "Layer 2"',
    ],
  },
  convert: {
    summary: 'convert an SAE into another format',
    examples: [
      'msae convert run/sae exported --to saelens',
      'msae convert hf://owner/name/folder sae --to msae --dtype float16',
    ],
  },
  inspect: {
    summary: 'show what an SAE of any format is',
    examples: ['msae inspect run/sae', 'msae inspect hf://owner/name/folder --no-norms --json'],
  },
  toy: {
    summary: 'train on the tree of the write-up and compare with the truth',
    examples: [
      'msae toy',
      'msae toy --preset reference,best --seeds 0..9 --out toy',
      'msae toy --preset all --seeds 0..2 --json',
    ],
  },
  doctor: {
    summary: 'try every backend, tell which works and how to get the others',
    examples: ['msae doctor', 'msae doctor --threads 4 --json'],
  },
  bench: {
    summary: 'measure training steps on this machine',
    examples: ['msae bench step --d 768 --n 16384 --k 32'],
  },
  'bench step': {
    summary: 'time whole training steps',
    examples: [
      'msae bench step --d 768 --n 16384 --k 32',
      'msae bench step --activation relu --l0 40 --backend tensorflow --threads 4 --json',
    ],
  },
  'setup-native': {
    summary: 'build the tensorflow backend against a current libtensorflow',
    examples: [
      'msae setup-native --dry-run',
      'msae setup-native --pip --version ==2.21.*',
      'msae setup-native --from-wheel tensorflow_cpu.whl',
    ],
  },
};
