/* Part of commit_protocol.pml: Flink, one process a job, and a person who starts a clone. */
#if CLONES
#define MINTED (completed | held[cur[0]] | held[cur[1]])
#else
#define MINTED (completed | held[cur[0]])
#endif
#define R cur[j]
#define RUNNING (state[R] == GOING && !(j == 0 && cancelled))

inline land(j) { flying[j] = false; fl_held[j] = 0; fl_known[j] = 0; fl_row[j] = 0 }
inline restore(j) {
    never_(endless, runs == RUNS); x = runs; runs++; cur[j] = x; job_of[x] = j; land(j);
    held[x] = ck_held[j]; row[x] = ck_row[j]; known[x] = ck_known[j];
#ifndef NO_RESTORE
    due[x] = ck_held[j];               /* a restore proves that the checkpoint completed */
#endif
    printf("Flink restores job %d as run %d: slices %d, row %d\n", j, x, held[x], row[x]);
    state[x] = GOING; x = 0
}

proctype Flink(byte j) {
end:
    do
    :: atomic {        /* barrier: the log is looked at first, then the slice gets its id */
        RUNNING && started[R] && !flying[j] && ck_row[j] < ROWS ->
        read_on(R);
        if
        :: state[R] != GOING
        :: else ->
            if
            :: row[R] < ROWS ->
                x = 0;                 /* ids never recur; the index of a lost slice may */
                do :: MINTED & BIT(x) -> x++ :: else -> break od;
                row_of[x] = row[R]; row[R]++;
                held[R] = held[R] | BIT(x); blobs = blobs | BIT(x);
#ifdef EAGER
                due[R] = due[R] | BIT(x);
#endif
                x = 0
            :: else
            fi;
            flying[j] = true; fl_held[j] = held[R]; fl_known[j] = intended; fl_row[j] = row[R];
            printf("run %d: snapshot of row %d, slices %d\n", R, row[R], held[R])
        fi }
    :: atomic {        /* complete; an older notification that was not delivered never will be */
        RUNNING && flying[j] ->
        ck_held[j] = fl_held[j]; ck_known[j] = fl_known[j]; ck_row[j] = fl_row[j];
        completed = completed | fl_held[j]; note[R] = fl_held[j] & held[R]; land(j);
        printf("Flink: checkpoint of job %d with row %d complete\n", j, ck_row[j]) }
    :: atomic { RUNNING && flying[j] && aborts > 0 ->
        aborts--; land(j); printf("Flink: checkpoint of job %d aborted\n", j) }
    :: atomic { RUNNING && note[R] ->
        due[R] = due[R] | (note[R] & held[R]); note[R] = 0;
        printf("run %d: notified, slices %d are due\n", R, due[R]) }
    :: atomic { RUNNING && crashes > 0 -> crashes--;
        printf("run %d crashes\n", R); stop(R, DEAD); restore(j) }
    :: atomic { RUNNING && zombies > 0 -> zombies--;
        printf("run %d is given up, and lives\n", R); note[R] = 0; restore(j) }
    :: atomic { state[R] == FENCED && !(j == 0 && cancelled) -> state[R] = DEAD; restore(j) }
    od
}

#if CLONES
/* Keeps a checkpoint of job 0, and later starts job 1 from it, beside job 0 or in its place. */
proctype Person() {
    atomic { ck_row[0] > 0 ->
        ck_held[1] = ck_held[0]; ck_known[1] = ck_known[0]; ck_row[1] = ck_row[0] }
    atomic {
        clones--;
        if
        :: true
        :: cancelled = true; if :: state[cur[0]] == GOING -> stop(cur[0], DEAD) :: else fi
        :: zombies > 0 -> zombies--; cancelled = true; note[cur[0]] = 0  /* it lives on */
        fi;
        printf("a person starts a clone; job 0 cancelled: %d\n", cancelled); restore(1) }
    run Flink(1)
}
#endif
