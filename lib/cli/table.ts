// Tables for terminals: nothing is ever cut off; what does not fit continues on a line of its own.

import { printable } from '../printable.js';
import { columns, style } from './output.js';

/** Breaks a text at spaces into lines of at most `width`; a longer word stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

export interface TableOptions {
  /** Styles a finished cell, whose width is no longer counted. */
  readonly paint?: (column: number, text: string) => string;
  readonly indent?: string;
  /** The last cell always goes below its row. */
  readonly stacked?: boolean;
}

/**
 * Lays rows out in columns. The last column is wrapped at the terminal's width. Without enough room
 * for it, the last cell moves below its row.
 */
export function table(
  header: readonly string[] | null,
  rows: readonly (readonly string[])[],
  { paint = (_column, text) => text, indent = '', stacked = false }: TableOptions = {},
): string[] {
  const cells = rows.map((row) => row.map(printable));
  const count = Math.max(0, ...(header ? [header.length] : []), ...cells.map((row) => row.length));
  const width = (column: number) => Math.max(0, ...[header ?? [], ...cells].map((row) => row[column]?.length ?? 0));
  const widths = Array.from({ length: Math.max(0, count - 1) }, (_, column) => width(column));
  const left = indent.length + widths.reduce((sum, each) => sum + each + 2, 0);
  const below = stacked || (columns() - left < 24 && width(count - 1) > columns() - left);
  const room = below ? columns() - indent.length - 6 : columns() - left;

  const line = (row: readonly string[], painted: (column: number, text: string) => string): string[] => {
    const start = widths
      .map((each, i) => painted(i, row[i] ?? '') + ' '.repeat(each - (row[i]?.length ?? 0)))
      .join('  ');
    const wrapped = wrap(row[count - 1] ?? '', room).map((text) => painted(count - 1, text));
    const lines = below
      ? [`${indent}${start}`, ...wrapped.map((text) => `${indent}      ${text}`)]
      : wrapped.map((text, i) =>
          i === 0 ? `${indent}${start}${start ? '  ' : ''}${text}` : `${' '.repeat(left)}${text}`,
        );
    return lines.map((text) => text.trimEnd());
  };
  return [
    ...(header ? line(header, (_column, text) => style('bold', text)) : []),
    ...cells.flatMap((row) => line(row, paint)),
  ];
}
