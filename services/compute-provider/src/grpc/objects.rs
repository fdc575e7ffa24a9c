//! The objects role of the federation.

use oc_kernel::AttemptId;
use oc_proto::federation::v1 as fed;
use oc_proto::federation::v1::objects_service_server::ObjectsService;
use oc_service::OrStatus as _;
use tonic::{Request, Response};

use super::Answer;
use super::convert::{calling, optional};
use crate::convert::{object_message, parse};
use crate::error::Error;
use crate::provider::Provider;
use crate::storage::{NewDownload, NewUpload};

#[tonic::async_trait]
impl ObjectsService for Provider {
    async fn request_upload(
        &self,
        request: Request<fed::RequestUploadRequest>,
    ) -> Answer<fed::RequestUploadResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let new = NewUpload {
                consumer: caller.consumer,
                network: caller.network,
                delegation: it.delegation,
                attempt: parse("attempt_id", &it.attempt_id)?,
                listing: optional("listing_id", &it.listing_id)?,
                key: parse("key", &it.key)?,
                length: it.length,
                sha256: parse("sha256", &it.sha256)?,
                media_type: it.media_type.chars().take(128).collect(),
            };
            self.request_upload(new).await
        };
        let announced = answer.await.or_status()?;
        let (token, expires_at_ms) = announced
            .token
            .map(|token| (token.text, token.expires_at_ms))
            .unwrap_or_default();
        Ok(Response::new(fed::RequestUploadResponse {
            upload_id: announced
                .upload
                .map(|id| id.to_string())
                .unwrap_or_default(),
            token,
            received: announced.received,
            expires_at_ms,
        }))
    }

    async fn get_upload(
        &self,
        request: Request<fed::GetUploadRequest>,
    ) -> Answer<fed::GetUploadResponse> {
        let caller = calling(self, &request).await?;
        let answer = async {
            let id = parse("upload_id", &request.get_ref().upload_id)?;
            self.upload_progress(&caller.consumer, &id).await
        };
        let (received, complete) = answer.await.or_status()?;
        Ok(Response::new(fed::GetUploadResponse { received, complete }))
    }

    async fn open_download(
        &self,
        request: Request<fed::OpenDownloadRequest>,
    ) -> Answer<fed::OpenDownloadResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let new = NewDownload {
                consumer: caller.consumer,
                network: caller.network,
                delegation: it.delegation,
                attempt: parse("attempt_id", &it.attempt_id)?,
                key: parse("key", &it.key)?,
            };
            let opened = self.open_download(new).await?;
            Ok::<_, Error>((opened, self.me().await?))
        };
        let (opened, me) = answer.await.or_status()?;
        let object = &opened.object;
        let about = object_message(
            &me,
            &object.key,
            &object.sha256,
            object.length,
            &object.media_type,
        );
        Ok(Response::new(fed::OpenDownloadResponse {
            object: Some(about),
            token: opened.token.text,
            expires_at_ms: opened.token.expires_at_ms,
        }))
    }

    async fn remove_outputs(
        &self,
        request: Request<fed::RemoveOutputsRequest>,
    ) -> Answer<fed::RemoveOutputsResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let listing = parse("listing_id", &it.listing_id)?;
            let attempts = it.attempt_ids.iter().map(|id| parse("attempt_ids", id));
            let attempts: Vec<AttemptId> = attempts.collect::<Result<_, Error>>()?;
            self.remove_outputs(&caller.consumer, &listing, &attempts)
                .await
        };
        let removed = answer.await.or_status()?;
        Ok(Response::new(fed::RemoveOutputsResponse {
            removed: removed.objects,
            more: removed.more,
        }))
    }
}
