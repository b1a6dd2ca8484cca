// What the demo prints fits into a terminal of 80 columns.

/** A decision in a cell of the table: the domain of the VM, or why there is none. */
export function verdict({ allowed, refusal, vmContext }) {
  if (allowed) return vmContext.split(':')[2];
  return (
    { 'no-transition': 'refused: no rule', 'invalid-context': 'refused: unknown' }[refusal] ?? `refused: ${refusal}`
  );
}

/** Prints a table of the clients' decisions, one row for each disk. */
export function printTable(clients, rows) {
  const line = ([first, ...others]) => [first.padEnd(14), ...others.map((cell) => cell.padEnd(22))].join('').trimEnd();
  console.log(line(['disk \\ client', ...clients]));
  for (const [disk, ...decisions] of rows) console.log(line([disk, ...decisions.map(verdict)]));
}

/** Breaks a long line at blanks, which mean nothing in a CIL statement. */
export function wrapped(text, indent) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== '' && indent.length + line.length + 1 + word.length > 80) lines.push(`  ${word}`);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => `${indent}${line}`).join('\n');
}
