#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Shape and wording of every file: clang-format, licence lines, functions and words that have no place
# here, spelling, shell scripts, man pages. Prints each finding; 1 if there is any.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

bad=0
# expect_nothing NAME OUTPUT: output is a finding.
expect_nothing() {
	[ -n "$2" ] || return
	bad=1
	echo "$1:"
	awk '{ print "    " $0 }' <<<"$2"
}

list() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files -co --exclude-standard
	else
		find . -type f -not -path './build*' -printf '%P\n'
	fi
}

files=()
c_files=()
shell_files=()
pages=()
while IFS= read -r file; do
	[ -f "$file" ] || continue
	case $file in
	tests/fuzz/corpus/* | tests/fuzz/regressions/*) continue ;; # bytes that a fuzzer made
	esac
	grep -Iq . "$file" || continue # binary or empty
	files+=("$file")
	case $file in
	*.c | *.h) c_files+=("$file") ;;
	*.scd) pages+=("$file") ;;
	esac
	read -r first <"$file" || true
	case $first in
	'#!/bin/sh'* | '#!/bin/bash'* | '#!/usr/bin/env bash'*) shell_files+=("$file") ;;
	esac
done < <(list | sort -u)

expect_nothing "clang-format" "$(
	[ ${#c_files[@]} = 0 ] || clang-format-14 --dry-run -Werror "${c_files[@]}" 2>&1 |
		sed -n 's/^\([^ ]*\): error: code should.*/\1/p' | cut -d: -f1 | uniq -c
)"

# Files without a licence line: those that have no place for a comment.
expect_nothing "no SPDX line in the first three lines" "$(
	for file in "${files[@]}"; do
		case $file in
		LICENSE | NEWS | *.md | *.json | *.xml | .gitignore | .clang-format | .clang-tidy | .editorconfig) continue ;;
		*meson.build | *.txt | *.in | *.scd | *.golden | *.supp | */golden/*) continue ;;
		esac
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: BSD-3-Clause' || echo "$file"
	done
)"

expect_nothing "functions that cannot be used safely" "$(
	grep -nwE '(strcpy|strcat|sprintf|vsprintf|atoi|atol|atoll|atof|strtok|gets|alloca|bcopy|mktemp|tmpnam|usleep)[[:space:]]*\(' "${c_files[@]}" /dev/null
)"

# Written in two parts, so that this file does not find itself.
unfinished="TO""DO|FIX""ME|XX""X:|HA""CK"
expect_nothing "words that say a thing is not done" "$(
	grep -nE "\\b($unfinished)\\b" "${files[@]}"
)"

# In places where paths begin: not below a variable, and not part of a longer path.
roots="/(work|home|ro""ot)/"
expect_nothing "paths of one machine" "$(
	grep -nE "(^|[^A-Za-z0-9_./}\$\"*-])$roots|[\"']$roots" "${files[@]}"
)"

expect_nothing "hosts of a package registry" "$(
	grep -nE 'https?://[a-z0-9.-]*(debian|ubuntu|npmjs|pypi)[a-z0-9.-]*\.(org|com)' "${files[@]}"
)"

expect_nothing "blanks at the end of a line" "$(
	grep -nE '[[:blank:]]+$' "${files[@]}" | grep -v '/golden/'
)"

expect_nothing "spelling" "$(
	codespell --ignore-words-list=fo,inout,nd,te,parms,ue,ot,hist,sreturns --skip='*.golden,*/golden/*' "${files[@]}"
)"

if [ ${#shell_files[@]} -gt 0 ]; then
	expect_nothing "shellcheck" "$(shellcheck -S warning -f gcc "${shell_files[@]}")"
fi

for page in "${pages[@]}"; do
	expect_nothing "$page" "$({ scdoc <"$page" | mandoc -T lint -W warning; } 2>&1 |
		# scdoc puts a paragraph macro everywhere; the pages we refer to need not be installed.
		grep -vE 'skipping paragraph macro|referenced manual not found')"
done

exit $bad
