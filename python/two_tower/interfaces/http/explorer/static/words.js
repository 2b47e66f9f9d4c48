// Every text of the pages, in Japanese and English: [ja, en]. {name} is filled in.

import { PAGES } from "./words_pages.js";
import { TABLES } from "./words_tables.js";

const FRAME = {
  "home": ["two-tower の最初のページへ", "two-tower, first page"],
  "pages": ["ページ", "Pages"],
  "page.person": ["人", "Person"],
  "page.visitor": ["ビジター", "Visitor"],
  "page.video": ["動画", "Video"],
  "page.health": ["健全性", "Health"],
  "page.releases": ["リリース", "Releases"],
  "skip": ["本文へ移動", "Skip to the content"],
  "language": ["言語", "Language"],
  "theme": ["配色", "Colours"],
  "theme.auto": ["自動", "Auto"],
  "theme.light": ["ライト", "Light"],
  "theme.dark": ["ダーク", "Dark"],
  "tier.visitor": ["ビジターとして閲覧中", "As a visitor"],
  "tier.user": ["本人として閲覧中", "As yourself"],
  "tier.service": ["サービスとして閲覧中", "As a service"],
  "key.enter": ["キーを入力", "Enter a key"],
  "key.title": ["キーまたはトークン", "Key or token"],
  "key.what": ["API キーを入力するとすべてのページが、アプリのトークン（JWT）を入力すると本人のページが開きます。このタブを閉じると破棄されます。", "An API key opens every page, a token of the app (JWT) your own. Closing this tab forgets it."],
  "key.label": ["API キーまたは JWT", "API key or JWT"],
  "key.use": ["使用する", "Use it"],
  "key.forget": ["破棄する", "Forget it"],
  "cancel": ["キャンセル", "Cancel"],
  "copy": ["コピー", "Copy"],
  "copied": ["コピーしました", "Copied"],
  "copy.sql": ["SQL をコピー", "Copy SQL"],
  "copy.select": ["選択してコピーしてください", "Select it to copy"],
  "more": ["あと {n} 件を表示", "Show {n} more"],
  "as.table": ["表で見る", "As a table"],
  "untitled": ["（タイトルなし）", "(untitled)"],
  "error.any": ["問題が発生しました", "Something went wrong"],
  "error.away": ["サーバーに接続できません", "The server does not answer"],
  "error.key": ["キーが必要です", "A key is needed"],
  "error.forbidden": ["閲覧できません", "This may not be seen"],
  "error.busy": ["リクエストが多すぎます。少し待ってから再度お試しください", "Too many requests. Wait a moment"],
  "error.unready": ["まだ回答できません", "There is no answer yet"],
  "error.slow": ["時間内に回答がありませんでした", "The answer took too long"],
};

const ALL = { ...FRAME, ...PAGES, ...TABLES };
const PLACE = { ja: 0, en: 1 };

export function language() {
  const chosen = localStorage.getItem("language") ?? navigator.language?.slice(0, 2);
  return chosen === "ja" ? "ja" : "en";
}

export const setLanguage = (name) => localStorage.setItem("language", name);

/** Return a text in the chosen language. */
export function t(key, values = {}) {
  const found = ALL[key];
  if (!found) throw new Error(`no text for ${key}`);
  return found[PLACE[language()]].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

t.has = (key) => key in ALL;
