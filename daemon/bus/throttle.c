/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of throttle.h. */

#include "daemon/bus/throttle.h"

#include "policy/topology.h" /* uthash, as everybody includes it */

/* A message can come after the news that its sender is gone: now and then all start afresh. */
#define BUCKETS_MAX 4096

struct bucket {
	char *sender;
	int64_t left; /* of its time, in millionths of a microsecond: no short wait counts as none
		       */
	uint64_t since_usec;
	UT_hash_handle hh;
};

struct throttle {
	struct bucket *buckets;
};

#define UNIT 1000000LL
static const int64_t full = THROTTLE_PURSE_USEC * UNIT;

static void bucket_free(struct throttle *throttle, struct bucket *bucket)
{
	HASH_DEL(throttle->buckets, bucket);
	free(bucket->sender);
	free(bucket);
}

int throttle_new(struct throttle **ret)
{
	struct throttle *throttle = calloc(1, sizeof(*throttle));

	if (!throttle)
		return -ENOMEM;
	*ret = throttle;
	return 0;
}

static void forget_all(struct throttle *throttle)
{
	while (throttle->buckets)
		bucket_free(throttle, throttle->buckets);
}

struct throttle *throttle_free(struct throttle *throttle)
{
	if (!throttle)
		return NULL;
	forget_all(throttle);
	free(throttle);
	return NULL;
}

static struct bucket *bucket_new(struct throttle *throttle, const char *sender, uint64_t now_usec)
{
	struct bucket *bucket;

	if (HASH_COUNT(throttle->buckets) >= BUCKETS_MAX)
		forget_all(throttle);
	bucket = calloc(1, sizeof(*bucket));
	if (!bucket)
		return NULL;
	bucket->sender = strdup(sender);
	if (!bucket->sender) {
		free(bucket);
		return NULL;
	}
	bucket->left = full;
	bucket->since_usec = now_usec;
	HASH_ADD_KEYPTR(hh, throttle->buckets, bucket->sender, strlen(bucket->sender), bucket);
	if (!bucket->hh.tbl) {
		free(bucket->sender);
		free(bucket);
		return NULL;
	}
	return bucket;
}

static void bucket_fill(struct bucket *bucket, uint64_t now_usec)
{
	/* From nothing it is full after so long; and from a debt, which is as large at most. */
	const uint64_t enough = 2 * THROTTLE_PURSE_USEC * 1000000ULL / THROTTLE_SHARE_USEC;
	uint64_t passed = now_usec - bucket->since_usec;

	bucket->since_usec = now_usec;
	if (passed > enough)
		passed = enough;
	bucket->left += (int64_t)passed * THROTTLE_SHARE_USEC;
	if (bucket->left > full)
		bucket->left = full;
}

int throttle_admit(struct throttle *throttle, const char *sender, uint64_t now_usec)
{
	struct bucket *bucket;

	HASH_FIND_STR(throttle->buckets, sender, bucket);
	if (!bucket)
		bucket = bucket_new(throttle, sender, now_usec);
	if (!bucket)
		return -ENOMEM;
	bucket_fill(bucket, now_usec);
	return bucket->left > 0 ? 0 : 1;
}

void throttle_charge(struct throttle *throttle, const char *sender, uint64_t took_usec)
{
	struct bucket *bucket;

	HASH_FIND_STR(throttle->buckets, sender, bucket);
	if (!bucket)
		return;
	if (took_usec > 2 * THROTTLE_PURSE_USEC)
		took_usec = 2 * THROTTLE_PURSE_USEC;
	bucket->left -= (int64_t)took_usec * UNIT;
	if (bucket->left < -full)
		bucket->left = -full;
}

void throttle_forget(struct throttle *throttle, const char *sender)
{
	struct bucket *bucket;

	HASH_FIND_STR(throttle->buckets, sender, bucket);
	if (bucket)
		bucket_free(throttle, bucket);
}
