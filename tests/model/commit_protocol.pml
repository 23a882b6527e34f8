/*
 * The commit protocol, small: one table, commit = direct. docs/reference/model.md says what stands
 * for what in the code, what is left out and why; test_promela.py runs it. flink.pml and kusto.pml
 * are parts of it.
 *
 * A run of the model is one history: Flink takes checkpoints and fails over, coordinators commit,
 * operations run in Kusto, access and tags expire, a person starts a clone. Spin tries all of them.
 * Every process may be slow without limit, so a zombie is nothing special: a coordinator that
 * Flink has given up and that has not died.
 *
 * Sets of slices, rows, transactions and attempts are bit masks. The #ifdefs take a guard away or
 * put something wrong in its place; each has to be found.
 */
#include "faults.h"

/* Room for each kind. It follows from the faults; who needs more goes on without end. */
#define JOBS   (1 + CLONES)
#define RUNS   (1 + CRASHES + 2 * ZOMBIES + 3 * CLONES)
#define SLICES (ROWS * (1 + CRASHES + ZOMBIES + CLONES) + SPARE)
#define TXNS   (ROWS + SPARE)
#define ATTS   (ROWS + CRASHES + 2 * ZOMBIES + 2 * CLONES + LOSSES + FAILS + PARTIALS + SPARE)

#define NONE 255
#define BIT(n) (1 << (n))
#define ALL_ROWS (BIT(ROWS) - 1)

/* ---- Flink: what a checkpoint holds (slices, known intents, rows read), and its jobs */
short ck_held[JOBS]; byte ck_known[JOBS], ck_row[JOBS];  /* the latest completed one */
short fl_held[JOBS]; byte fl_known[JOBS], fl_row[JOBS];  /* the one on its way, if `flying` */
bool flying[JOBS], cancelled;          /* cancelled: job 0, by a person */
byte cur[JOBS];                        /* the run that Flink believes in */
byte row_of[SLICES];
short completed;                       /* slices in completed checkpoints */

/* ---- runs of the coordinator: what Flink's calls and the committing share */
mtype = { UNUSED, GOING, DEAD, FENCED };
mtype state[RUNS] = UNUSED;
byte job_of[RUNS], row[RUNS], known[RUNS], runs;
short held[RUNS], due[RUNS], note[RUNS];
bool started[RUNS];

/*
 * ---- the ledger: a log, kept as its fold. An entry's number serves two ends, which are kept
 * instead, so that histories that differ in numbers only are one: `behind`, the runs that will
 * find the next number taken; `known`, the first intents that stand before a position.
 */
short behind;
byte owner = NONE, starters;           /* the run of the last `start`; jobs that have one */
byte intended, committed;              /* transactions with an `intent`, with `committed` */
short slices[TXNS], atts[TXNS];        /* in full in the first intent; attempts */
byte rows_in[TXNS], txns, attempts;
short named;                           /* attempts whose `operation` stands */
short done; byte rows_done;            /* slices and rows of what is committed */

/* ---- staging and Kusto */
short blobs;                           /* slices whose parts are there */
short unsent, sent, reading, holding;  /* attempts: where the one request of each is */
short over, fine;                      /* operations that have ended; fine: Completed or Skipped */
short whole, part, tagged;             /* extents, one an attempt at most; whose tag is there */
short expired;                         /* attempts: access expired, and one settle time later */
byte maker[ATTS], old, seen;           /* run of the attempt; old transactions; rows visible */

byte crashes = CRASHES, zombies = ZOMBIES, clones = CLONES, aborts = ABORTS, losses = LOSSES;
byte fails = FAILS, partials = PARTIALS, expiries = EXPIRIES, stalls = ZOMBIES + CLONES;
bool asked;                            /* the job has stopped and a person is asked */

/* ---- what must never be */
bool duplicated, lost, early, stuck, endless, vain, finished;
inline never_(what, condition) { what = ((condition) -> true : false); assert(!what) }

byte i, x;                             /* for use within one step; 0 between steps */

inline stop(r, why) {                  /* the state last: who waits for it goes at once */
    held[r] = 0; due[r] = 0; note[r] = 0; row[r] = 0; known[r] = 0; state[r] = why
}
/* Read the log to its end. All that a run can find there after its own `start` is another's. */
inline read_on(r) {
    behind = behind & ~BIT(r);
#ifndef NO_FENCE
    if :: owner != r -> printf("run %d: fenced\n", r); stop(r, FENCED) :: else fi
#endif
}
/* Create if absent, under the next number: for all others it is taken now. */
inline append(r) { behind = (BIT(RUNS) - 1) & ~BIT(r) }
#define BEHIND (behind & BIT(r))

#include "flink.pml"

/* ---- the coordinator: one process a run */
#define ATT      atts[t]
#define OPEN     (ATT & ~ended)
#define WHOLE    (whole & tagged & ATT)
#define PART     (part & tagged & ATT)
#ifdef TAG_IS_COMPLETE
#define ALL_IN   (WHOLE || PART)
#else
#define ALL_IN   (WHOLE && !PART)
#endif
#define RUNS_NOW ((reading | holding) & ATT)
/* A look would teach something: rows, or that every open attempt can be closed. */
#define USEFUL   (ALL_IN || ((OPEN & ~(named & over) & ~expired) == 0 && !RUNS_NOW))

/* Is the name in another job's hands? Does the log know what the restored state does not hold? */
inline admit() {
#ifndef NO_OWNER
    x = (owner != NONE && job_of[owner] != job_of[r] && (starters & BIT(job_of[r])));
#endif
#ifndef NO_REWIND
    for (i : 0 .. TXNS - 1) {
        if :: (intended & ~known[r] & BIT(i)) && (slices[i] & ~held[r]) -> x = 1 :: else fi
    };
    i = 0
#endif
}
inline start() { append(r); owner = r; starters = starters | BIT(job_of[r]) }
inline make_slices() {                 /* all that are due, or the oldest alone */
    never_(endless, txns == TXNS); t = txns; txns++; slices[t] = due[r] & ~done;
    if :: true :: slices[t] = slices[t] & (0 - slices[t]) fi;
    for (i : 0 .. SLICES - 1) {
        if :: slices[t] & BIT(i) -> rows_in[t] = rows_in[t] | BIT(row_of[i]) :: else fi
    };
    i = 0
}
inline attempt() {                     /* access is minted right before it, and expires after it */
    never_(endless, attempts == ATTS); a = attempts; attempts++;
    maker[a] = r; unsent = unsent | BIT(a); ATT = ATT | BIT(a); ended = 0; blind = 0;
    printf("run %d: intent of attempt %d, transaction %d, slices %d\n", r, a, t, slices[t])
}
inline ask() {                         /* only the run that the name belongs to is heard */
    never_(vain, partials == PARTIALS && expiries == EXPIRIES);
    printf("run %d: stops, a person has to look at transaction %d\n", r, t);
    if :: owner == r -> asked = true :: else fi;
    stop(r, DEAD)
}
inline delete() {
    never_(lost, !(whole & ATT)); blobs = blobs & ~slices[t];
    printf("run %d: parts of transaction %d deleted\n", r, t)
}

proctype Coordinator(byte r) {
    byte t, a;                         /* the transaction under way, the attempt being made */
    short ended, blind;                /* attempts known to be closed; of these, by time alone */
    bool busy;
    state[r] == GOING;
    {
        skip;
survey:
        atomic {                       /* a refused start leaves no trace */
            behind = behind & ~BIT(r);
            admit();
            if
            :: x -> x = 0;             /* who cancelled job 0 for this is told what it would do */
                if :: cancelled && !(starters & BIT(job_of[r])) -> asked = true :: else fi;
                printf("run %d: refused\n", r);
#ifdef REFUSED_START
                start();
#endif
                stop(r, DEAD)
            :: else
            fi }
        atomic {
            if
#ifndef NO_RECHECK
            :: BEHIND -> goto survey
#endif
            :: else -> start(); started[r] = true; printf("run %d: start\n", r);
                known[r] = 0; held[r] = held[r] & ~done; due[r] = due[r] & ~done
            fi }
think:
        atomic {
            due[r] & ~done ->
            t = NONE; ended = 0; blind = 0;
#ifndef REGROUP
            for (i : 0 .. TXNS - 1) {  /* once in an intent, only ever in that transaction */
                if
                :: (intended & BIT(i)) && (slices[i] & due[r] & ~done) && t == NONE -> t = i
                :: else
                fi
            };
            i = 0;
#endif
            if
            :: t != NONE -> goto examine
#ifdef NO_INTENT
            :: else -> make_slices(); attempt()
#else
            :: t == NONE && BEHIND -> t = 0; read_on(r); goto think
            :: else -> make_slices(); append(r); intended = intended | BIT(t); attempt()
#endif
            fi }
submit:
#ifdef COMMIT_BEFORE_INGEST
        goto conclude;
#endif
        atomic {                       /* one request; what is known afterwards is one of four */
            unsent = unsent & ~BIT(a);
            if
            :: printf("run %d: request %d sent\n", r, a); sent = sent | BIT(a)
            :: losses > 0 -> losses--; printf("run %d: reply %d lost\n", r, a);
                sent = sent | BIT(a); a = 0; goto examine
            :: losses > 0 -> losses--; printf("run %d: request %d lost\n", r, a);
                a = 0; goto examine
            :: fails > 0 -> fails--; printf("run %d: request %d refused\n", r, a);
                ended = ended | BIT(a); a = 0; goto examine
            fi }
name:
        atomic {
            if
            :: BEHIND -> read_on(r); goto name
            :: else -> append(r); named = named | BIT(a); a = 0
            fi }
examine:
        atomic {                       /* operations are followed to the end; records may be late */
            if
#ifdef NO_WAIT
            :: ended = ended | (named & ATT)
#else
            :: (named & ATT & ~over) == 0 -> ended = ended | (named & ATT)
            :: losses > 0 && (named & OPEN) -> losses--; printf("run %d: no record\n", r)
#endif
            fi;
#ifdef NO_CLOSE
            ended = ATT;
#endif
#ifdef OPERATION_IS_EVIDENCE
            if :: ended & fine -> goto conclude :: else fi;
#endif
#ifdef DELETE_FIRST
            if :: ended & over -> delete() :: else fi
#endif
        }
look:                                  /* does something run? and then: which extents are there? */
#ifndef NO_BUSY
        busy = (RUNS_NOW != 0);
#endif
        atomic {
            if
            :: ALL_IN -> busy = 0; goto conclude
            :: else ->
                if :: busy -> ended = ended & ~blind; blind = 0 :: else fi;
                if
                :: OPEN && ((OPEN & ~expired) || busy) -> busy = 0; goto pause
                :: OPEN && (OPEN & ~expired) == 0 && !busy ->
                    printf("run %d: attempts %d closed by time\n", r, OPEN);
                    blind = blind | OPEN; ended = ended | OPEN;
#ifndef NO_SECOND_LOOK
                    goto examine
#endif
                :: else
                fi;
                if
#ifndef NO_EXPIRY
                :: !WHOLE && !PART && (old & BIT(t)) -> ask()
#endif
                :: WHOLE || PART || (ended & ~blind & fine) -> ask()
                :: else
                fi
            fi }
        atomic {                       /* nothing is in, nothing can come: the next attempt */
            if
            :: BEHIND -> read_on(r); goto think
            :: else -> append(r); attempt(); goto submit
            fi }
pause:
#ifndef NO_PAUSE
        USEFUL;
#endif
        goto examine;
conclude:
        atomic {
            if
            :: BEHIND -> read_on(r);
                if :: committed & BIT(t) -> goto think :: else -> goto conclude fi
            :: else -> append(r); printf("run %d: committed, transaction %d\n", r, t);
                never_(lost, !(whole & ATT));
                committed = committed | BIT(t); done = done | slices[t];
                rows_done = rows_done | rows_in[t];
                expired = expired | (over & ATT);  /* their time does not matter any more */
                held[r] = held[r] & ~slices[t]; due[r] = due[r] & ~slices[t];
                ended = 0; blind = 0
            fi }
        atomic { delete(); t = 0; goto think }
    } unless { state[r] != GOING };
    d_step { t = 0; a = 0; ended = 0; blind = 0; busy = 0 }
}

#include "kusto.pml"

/* ---- the end of a history: nothing can happen any more, so all is in, or a person is asked */
proctype Judge() {
    timeout -> never_(stuck, rows_done != ALL_ROWS && !asked)
#ifdef FINISH
    ; never_(finished, rows_done == ALL_ROWS)  /* must be found, or the model does nothing */
#endif
}

init {
    atomic {
        restore(0); run Flink(0);
        for (i : 0 .. RUNS - 1) { run Coordinator(i) }
        for (i : 0 .. ATTS - 1) { run Operation(i); run Access(i) }
#if EXPIRIES
        for (i : 0 .. TXNS - 1) { run Age(i) }
#endif
#if CLONES
        run Person();
#endif
        run Judge(); i = 0
    }
}
