#!/usr/bin/env bash
# mission.sh lists the IDs of the mission that no test names.
#
# A test names an ID when the ID stands in its function's name (TestSCH12_...,
# TestMission_SCH_12_...), or in a t.Run name or the name of a testscript file
# (SCH-12 or SCH12). The IDs come from the mission itself where it lies beside
# the checkout, else from the list beside this script.
set -euo pipefail
cd "$(dirname "$0")/.."

mission=../shared/mission.md
if [ -r "$mission" ]; then
	ids=$(grep -oE '^\| [A-Z]{3}-[0-9]+ \|' "$mission" | tr -d '| ' | sort -u)
else
	mission=scripts/mission.txt
	ids=$(sort -u "$mission")
fi

names=$(
	{
		grep -rhoE '^func (Test|Fuzz|Example)[A-Za-z0-9_]+|\.Run\("[^"]+"' --include='*_test.go' . || true
		find . -path '*/testdata/*' -name '*.txtar' | sed 's|.*/||'
	} | tr -d '_-' | grep -oE '[A-Z]{3}[0-9]{2}' | sort -u
)

awk -v from="$mission" '
	NR == FNR { named[$1] = 1; next }
	{
		split($1, part, "-"); chapter = part[1]
		if (!(chapter in all)) order[++n] = chapter
		all[chapter]++; total++
		key = $1; sub("-", "", key)
		if (key in named) { done[chapter]++; have++ }
		else missing[chapter] = missing[chapter] " " $1
	}
	END {
		for (i = 1; i <= n; i++) {
			c = order[i]
			printf "%s  %2d of %2d%s%s\n", c, done[c], all[c], missing[c] ? "  missing:" : "", missing[c]
		}
		printf "\n%d of %d IDs of %s are named by a test\n", have, total, from
	}
' <(echo "$names") <(echo "$ids")
