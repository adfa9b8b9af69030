// The editor. CodeMirror lives in a shadow root, where its styles are constructed sheets: the page's
// policy allows no inline ones. Without it the textarea stays.

const look = {
  '&': { backgroundColor: 'transparent', color: 'var(--text)', fontSize: '13px' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6', minHeight: '168px', maxHeight: '46vh' },
  '.cm-content': { caretColor: 'var(--text-strong)', padding: '10px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--text-strong)' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--text-dim)', border: 'none', paddingLeft: '6px' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--hover) 70%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { background: 'color-mix(in srgb, var(--accent) 28%, transparent)' },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', border: '1px solid var(--line-strong)', borderRadius: '6px', boxShadow: 'var(--shadow)', color: 'var(--text)' },
  '.cm-tooltip-autocomplete > ul > li': { padding: '2px 10px', fontFamily: 'var(--mono)', fontSize: '12px' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--chosen)', color: 'var(--text-strong)' },
  '.cm-completionDetail': { color: 'var(--text-dim)', fontStyle: 'normal', marginLeft: '14px' },
  '.cm-matchingBracket': { backgroundColor: 'var(--chosen)', outline: '1px solid var(--line-strong)' },
};

function plain(host, { run }) {
  const area = host.querySelector('textarea');
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  });
  return {
    text: () => area.value,
    insert: (text) => { area.setRangeText(text, area.selectionStart, area.selectionEnd, 'end'); area.focus(); },
  };
}

// The browser types over a selection by itself and keeps the look of what was there as an inline style,
// which the policy blocks. So that one edit is made here, as the editor makes it for what it reads back.
const typeOver = (cm) => (event, view) => {
  const { main, ranges } = view.state.selection;
  if (event.inputType !== 'insertText' || !event.data || main.empty || ranges.length > 1 || view.composing) return false;
  event.preventDefault();
  const insert = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: 'input.type', scrollIntoView: true });
  const handled = view.state.facet(cm.EditorView.inputHandler).some((f) => f(view, main.from, main.to, event.data, insert));
  if (!handled) view.dispatch(insert());
  return true;
};

export async function mount(host, tables, { run }) {
  let cm;
  try {
    cm = await import('../vendor/codemirror.js');
  } catch {
    return plain(host, { run });
  }
  const area = host.querySelector('textarea');
  const text = area.value;
  const mountPoint = document.createElement('div');
  area.replaceWith(mountPoint);
  const root = mountPoint.attachShadow({ mode: 'open' });
  const { tags: t } = cm;
  const colours = cm.HighlightStyle.define([
    { tag: t.keyword, color: 'var(--chart-p99)' },
    { tag: [t.string, t.special(t.string)], color: 'var(--good)' },
    { tag: [t.number, t.bool, t.null], color: 'var(--warn)' },
    { tag: t.comment, color: 'var(--text-dim)', fontStyle: 'italic' },
    { tag: [t.typeName, t.standard(t.name)], color: 'var(--accent)' },
    { tag: [t.operator, t.punctuation], color: 'var(--text-dim)' },
  ]);
  const schema = Object.fromEntries(tables.map((table) => [
    table.name,
    { self: { label: table.name, type: 'type', detail: table.about }, children: table.fields.map((f) => ({ label: f.name, type: 'property', detail: f.kind })) },
  ]));
  const everywhere = tables.flatMap((table) => table.fields.map((f) => ({ label: f.name, type: 'property', detail: `${table.name} · ${f.kind}` })));
  const unique = [...new Map(everywhere.reverse().map((o) => [o.label, o])).values()];
  const columns = (context) => {
    const word = context.matchBefore(/[\w]+/);
    if (!word && !context.explicit) return null;
    const before = context.state.sliceDoc(0, word?.from ?? context.pos);
    if (before.endsWith('.') || before.endsWith("'")) return null;
    return { from: word?.from ?? context.pos, options: unique, validFor: /^\w*$/ };
  };
  const language = cm.sql({ dialect: cm.PostgreSQL, schema, upperCaseKeywords: true });
  const view = new cm.EditorView({
    root,
    parent: root,
    state: cm.EditorState.create({
      doc: text,
      extensions: [
        cm.Prec.highest(cm.keymap.of([{ key: 'Mod-Enter', run: () => { run(); return true; } }])),
        cm.lineNumbers(), cm.highlightActiveLine(), cm.highlightActiveLineGutter(), cm.highlightSpecialChars(), cm.drawSelection(), cm.history(),
        cm.bracketMatching(), cm.closeBrackets(), cm.autocompletion({ icons: false }), language,
        language.language.data.of({ autocomplete: columns }),
        cm.syntaxHighlighting(colours), cm.EditorView.lineWrapping, cm.EditorView.theme(look),
        cm.EditorView.domEventHandlers({ beforeinput: typeOver(cm) }),
        cm.EditorView.contentAttributes.of({ 'aria-label': 'SQL statement', spellcheck: 'false' }),
        cm.keymap.of([...cm.closeBracketsKeymap, ...cm.completionKeymap, ...cm.defaultKeymap, ...cm.historyKeymap]),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    insert: (piece) => { view.dispatch(view.state.replaceSelection(piece)); view.focus(); },
  };
}
