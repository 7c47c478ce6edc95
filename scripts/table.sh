# What the scripts that make tables of benchmark results have in common; they read
# it with the dot command. It sets machine, to kernel and processor of this one, and
# awk_common, for awk -v machine="$machine" "$awk_common"'...', and defines measured.

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)
machine="$(uname -s) $(uname -r | cut -d. -f1,2), $(getconf _NPROCESSORS_ONLN) x ${cpu:-$(uname -m)}"

# measured prints the name of the file with the results of make bench-$1: $2, if given.
measured() {
	file=${2:-out/$1.jsonl}
	[ -r "$file" ] || { echo "$file cannot be read: run make bench-$1 first" >&2; return 1; }
	echo "$file"
}

# In BEGIN, call row for each case, in the order of the table. In END, call table; or
# split the names of the columns into systems and call head. Then unit has the cases
# that were measured, value and spread are by case and system, and runs is the most
# of all.
awk_common='
# field returns the value of a key in one flat JSON object.
function field(key,   s) {
	if (!match($0, "\"" key "\":(\"[^\"]*\"|[^,}]*)")) return ""
	s = substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
	gsub(/"/, "", s)
	return s
}
function number(v) { v += 0; return sprintf(v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v) }
function row(name, label, target) { order[++rows] = name; labels[name] = label; targets[name] = target }
# head prints the head of the table: what stands before the systems, and its rule.
function head(line, rule,   c) {
	for (c = 1; c <= columns; c++) { line = line " " systems[c] " |"; rule = rule "---:|" }
	print line; print rule
}
# table prints the rows from one to another with their targets, the systems in names
# as columns, and the range of the first.
function table(names, from, to,   r, c, name, line, at, cell, any) {
	for (r = from; r <= to; r++) any = any || order[r] in unit
	if (!any) return
	columns = split(names, systems, " ")
	head("| Case | Unit | Target |", "|---|---|---|")
	for (r = from; r <= to; r++) {
		name = order[r]
		if (!(name in unit)) continue
		line = "| " labels[name] " | " unit[name] " | " targets[name] " |"
		for (c = 1; c <= columns; c++) {
			at = name SUBSEP systems[c]
			cell = at in value ? value[at] : ""
			if (c == 1 && runs > 1 && cell != "") cell = cell " (" spread[at] ")"
			line = line " " cell " |"
		}
		print line
	}
	print ""
}
/^\{/ {
	name = field("case"); at = name SUBSEP field("system")
	value[at] = number(field("median")); unit[name] = field("unit")
	spread[at] = number(field("min")) "-" number(field("max"))
	if (field("runs") + 0 > runs) runs = field("runs") + 0
}
'
