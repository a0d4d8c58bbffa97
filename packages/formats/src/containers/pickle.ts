/**
 * Reads Python pickles (protocols 0 to 5) as data, and only as data. Nothing is ever imported or called: a GLOBAL is
 * looked up in the table the caller gives, and one that is not there ends the reading with its name.
 * Opcodes: CPython's Lib/pickletools.py.
 */
import { show } from '../formatError.ts';
import { PickleMachine, type PickleOptions } from './pickleMachine.ts';

/** One pickle in memory, from `offset`; returns the value and where the next one begins. */
export function readPickle(
  bytes: Uint8Array,
  options: PickleOptions,
  offset = 0,
): { value: unknown; end: number } {
  const machine = new PickleMachine(bytes, options, offset);
  for (;;) {
    const at = machine.position;
    const opcode = machine.uint(1);
    if (opcode === 0x2e) return { value: machine.pop(), end: machine.position }; // STOP
    const action = opcodes[opcode];
    if (!action) {
      throw machine.fail(
        `opcode 0x${opcode.toString(16)} at byte ${at}`,
        'an opcode of pickle protocols 0 to 5 that describes plain data',
      );
    }
    action(machine);
  }
}

/** LONG1/LONG4: two's complement, little-endian. */
function long(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  if (bytes.length && bytes[bytes.length - 1]! & 0x80) value -= 1n << BigInt(8 * bytes.length);
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

function longLength(m: PickleMachine, length: number): number {
  if (length > 64) throw m.fail(`an integer of ${length} bytes`, 'at most 64 bytes');
  return length;
}

function decimal(m: PickleMachine, text: string): unknown {
  if (text === '00') return false;
  if (text === '01') return true;
  const digits = text.replace(/L$/, '');
  if (!/^-?\d{1,150}$/.test(digits)) throw m.fail(show(text), 'a whole number');
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}

const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (code) => String.fromCharCode(code)).join('');

/** Python's raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX. */
function rawUnicode(bytes: Uint8Array): string {
  return latin1(bytes).replace(
    /\\u([0-9a-f]{4})|\\U([0-9a-f]{8})/gi,
    (whole, short?: string, long?: string) => {
      const code = Number.parseInt((short ?? long)!, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

const actions: Readonly<Record<string, (m: PickleMachine) => void>> = {
  '0x80': (m) => {
    const protocol = m.uint(1);
    if (protocol > 5) throw m.fail(`protocol ${protocol}`, 'protocol 5 or older');
  },
  '0x95': (m) => void m.uint(8), // FRAME
  '0x28': (m) => m.pushMark(),
  '0x30': (m) => m.popOrMark(),
  '0x31': (m) => void m.popToMark(),
  '0x32': (m) => m.push(m.top()),
  '0x4e': (m) => m.push(null),
  '0x88': (m) => m.push(true),
  '0x89': (m) => m.push(false),
  '0x4a': (m) => m.push(m.int32()),
  '0x4b': (m) => m.push(m.uint(1)),
  '0x4d': (m) => m.push(m.uint(2)),
  '0x47': (m) => m.push(m.float64()),
  '0x49': (m) => m.push(decimal(m, m.line())), // INT
  '0x4c': (m) => m.push(decimal(m, m.line())), // LONG
  '0x46': (m) => m.push(Number(m.line())), // FLOAT
  '0x8a': (m) => m.push(long(m.raw(longLength(m, m.uint(1))))),
  '0x8b': (m) => m.push(long(m.raw(longLength(m, m.uint(4))))),
  '0x56': (m) => m.push(rawUnicode(m.rawLine())), // UNICODE
  '0x58': (m) => m.push(m.text(m.uint(4))),
  '0x8c': (m) => m.push(m.text(m.uint(1))),
  '0x8d': (m) => m.push(m.text(m.uint(8))),
  '0x54': (m) => m.push(latin1(m.raw(m.uint(4)))), // BINSTRING
  '0x55': (m) => m.push(latin1(m.raw(m.uint(1)))), // SHORT_BINSTRING
  '0x42': (m) => m.push(m.raw(m.uint(4))), // BINBYTES
  '0x43': (m) => m.push(m.raw(m.uint(1))),
  '0x8e': (m) => m.push(m.raw(m.uint(8))),
  '0x29': (m) => m.push([]), // tuples and lists are both arrays
  '0x5d': (m) => m.push([]),
  '0x7d': (m) => m.push(new Map()),
  '0x74': (m) => m.push(m.popToMark()),
  '0x6c': (m) => m.push(m.popToMark()), // LIST
  '0x64': (m) => {
    const items = m.popToMark();
    m.push(new Map());
    m.dict(items);
  },
  '0x85': (m) => m.push([m.pop()]),
  '0x86': (m) => {
    const b = m.pop();
    m.push([m.pop(), b]);
  },
  '0x87': (m) => {
    const c = m.pop();
    const b = m.pop();
    m.push([m.pop(), b, c]);
  },
  '0x61': (m) => {
    const item = m.pop();
    m.list().push(item);
  },
  '0x65': (m) => {
    const items = m.popToMark();
    const list = m.list();
    for (const item of items) list.push(item);
  },
  '0x73': (m) => {
    const value = m.pop();
    const key = m.pop();
    m.dict([key, value]);
  },
  '0x75': (m) => {
    const items = m.popToMark();
    m.dict(items);
  },
  '0x71': (m) => m.put(m.uint(1)),
  '0x72': (m) => m.put(m.uint(4)),
  '0x70': (m) => m.put(Number(decimal(m, m.line()))),
  '0x94': (m) => m.memoize(),
  '0x68': (m) => m.get(m.uint(1)),
  '0x6a': (m) => m.get(m.uint(4)),
  '0x67': (m) => m.get(Number(decimal(m, m.line()))),
  '0x63': (m) => {
    const module = m.line();
    m.global(module, m.line());
  },
  '0x93': (m) => {
    const name = m.pop();
    const module = m.pop();
    if (typeof name !== 'string' || typeof module !== 'string') throw m.fail('a nameless global', 'a name');
    m.global(module, name);
  },
  '0x52': (m) => m.call(), // REDUCE
  '0x81': (m) => m.call(), // NEWOBJ
  '0x62': (m) => void m.pop(), // BUILD: the attributes of an object (a state dict's _metadata) are left out
  '0x51': (m) => m.persistent(m.pop()),
};

const opcodes: ((m: PickleMachine) => void)[] = [];
for (const [code, action] of Object.entries(actions)) opcodes[Number(code)] = action;
