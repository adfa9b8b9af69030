#!/bin/sh
# Renews ../assets/vendor from the versions pinned in package.json. Needs Node; the product's build
# does not. Afterwards put the new sums into ../assets/vendor/THIRD-PARTY.md.
set -eu
cd "$(dirname "$0")"
npm install --no-audit --no-fund --no-package-lock
out=../assets/vendor
npx esbuild codemirror.entry.js --bundle --format=esm --minify --legal-comments=none --outfile="$out/codemirror.js"
cp node_modules/uplot/dist/uPlot.iife.min.js "$out/uplot.min.js"
cp node_modules/uplot/dist/uPlot.min.css "$out/uplot.min.css"
cp node_modules/uplot/LICENSE "$out/LICENSE-uplot.txt"
rm -rf node_modules
(cd "$out" && sha256sum codemirror.js uplot.min.js uplot.min.css)
