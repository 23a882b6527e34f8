/* What is tried: -D sets each of these. The numbers are budgets for one history. */
#ifndef ROWS
#define ROWS 2     /* checkpoints with rows; "row" k is all that comes before barrier k */
#endif
#ifndef ATOMIC
#define ATOMIC 0   /* 1: Kusto looks for the tag in the same step in which the rows appear */
#endif
#ifndef CRASHES
#define CRASHES 0  /* the coordinator dies, Flink restores the latest checkpoint */
#endif
#ifndef ZOMBIES
#define ZOMBIES 0  /* the same, but the old coordinator lives on */
#endif
#ifndef CLONES
#define CLONES 0   /* a person starts a second job from an earlier checkpoint (0 or 1) */
#endif
#ifndef ABORTS
#define ABORTS 0   /* a checkpoint is given up */
#endif
#ifndef LOSSES
#define LOSSES 0   /* a request or its reply is lost, an operation's record is not found */
#endif
#ifndef FAILS
#define FAILS 0    /* a request is refused, an operation fails, access expires too early */
#endif
#ifndef PARTIALS
#define PARTIALS 0 /* an operation leaves some of its rows */
#endif
#ifndef EXPIRIES
#define EXPIRIES 0 /* a transaction becomes older than Kusto keeps tags */
#endif
#ifndef SPARE
#define SPARE 0    /* room for what only a broken protocol does */
#endif
