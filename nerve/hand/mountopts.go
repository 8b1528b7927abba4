package hand

import "strings"

// The options of the old mount that the new one gets as well: those that an operator chooses and that
// mount accepts on any kernel since 5.4. All others are left out:
//   - what the kernel shows of itself or does by default (relatime, seclabel, attr2, inode64, noquota,
//     logbufs=8, logbsize=32k);
//   - what belongs to the geometry of the old disk (stripe=, sunit=, swidth=);
//   - ro and rw: a failing disk is often remounted read-only, the new one must be writable;
//   - context= and its kin, which the policy of the host sets.
var (
	keptAlways = words("noatime nodiratime strictatime lazytime nodev nosuid noexec sync dirsync discard")
	keptFor    = map[string]map[string]bool{
		"ext4": words(`nodiscard errors data commit barrier nobarrier delalloc nodelalloc journal_checksum
			journal_async_commit user_xattr nouser_xattr acl noacl usrquota grpquota prjquota usrjquota grpjquota jqfmt
			quota init_itable noinit_itable max_batch_time min_batch_time journal_ioprio auto_da_alloc
			noauto_da_alloc nombcache dioread_nolock dioread_lock inode_readahead_blks`),
		"xfs": words(`allocsize largeio nolargeio swalloc wsync filestreams usrquota uquota uqnoenforce grpquota
			gquota gqnoenforce prjquota pquota pqnoenforce quota`),
	}
)

// keepOptions splits the options of the old mount into those for the new one and those left out, each
// once and in their order.
func keepOptions(fsType, options string) (kept, left []string) {
	seen := map[string]bool{}
	for _, o := range strings.Split(options, ",") {
		if o == "" || seen[o] {
			continue
		}
		seen[o] = true
		name, _, _ := strings.Cut(o, "=")
		if (keptAlways[name] || keptFor[fsType][name]) && bareWord.MatchString(o) {
			kept = append(kept, o)
		} else {
			left = append(left, o)
		}
	}
	return kept, left
}

func words(s string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(s) {
		out[w] = true
	}
	return out
}
