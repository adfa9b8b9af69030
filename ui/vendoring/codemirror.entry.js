// What the SQL workbench uses of CodeMirror 6.
export { EditorState, Compartment, Prec } from '@codemirror/state';
export { EditorView, keymap, lineNumbers, drawSelection, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, placeholder } from '@codemirror/view';
export { history, historyKeymap, defaultKeymap, indentWithTab } from '@codemirror/commands';
export { autocompletion, completionKeymap, closeBrackets, closeBracketsKeymap, startCompletion } from '@codemirror/autocomplete';
export { bracketMatching, HighlightStyle, syntaxHighlighting, indentUnit } from '@codemirror/language';
export { sql, PostgreSQL, keywordCompletionSource } from '@codemirror/lang-sql';
export { tags } from '@lezer/highlight';
